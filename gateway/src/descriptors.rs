//! How many files and connections the process may have open, and how many of them clients may take: journal, store, links
//! and calls to applications need some at moments of their own, and must not find them all taken by connections that do
//! nothing.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the system lets us and gives it; `None` where there is none.
pub fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, limit = current, "the limit of open files cannot be raised");
            current
        }
    }
}

/// Of the descriptors there may be, how many clients may take: all but a quarter.
pub fn for_clients() -> usize {
    share(getrlimit(Resource::Nofile).current)
}

fn share(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |limit| usize::try_from(limit - limit / 4).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_a_quarter_to_all_else() {
        assert_eq!([None, Some(65_536), Some(1_024)].map(share), [usize::MAX, 49_152, 768]);
    }

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let raised = raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!((raised, current, for_clients()), (maximum, maximum, share(maximum)));
    }
}
