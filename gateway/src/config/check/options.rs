//! What routes and apps ask of carriers: names that a channel knows, with values it can write.

use std::collections::BTreeMap;

use carriers::Options;
use toml::Spanned;

use super::Check;
use crate::config::plan::{Channel, Group, GroupId};
use crate::config::problem::Place;
use crate::config::shape::Found;

/// An option that a route or an app sets, until the channels are known.
pub(super) struct Asked {
    place: Place,
    name: String,
    value: String,
    /// Of the channels of this group one must know it; of all where there is none.
    group: Option<GroupId>,
}

impl Check<'_, '_> {
    /// The options of a route or an app, as they are kept; whether channels know them is asked later.
    pub(super) fn options<F>(
        &mut self,
        found: &Found<F>,
        written: &BTreeMap<String, Spanned<String>>,
        group: Option<GroupId>,
    ) -> String {
        for (at, (name, value)) in written.iter().enumerate() {
            let place = found.at(value.span());
            if let Err(why) = Options::fits(name, value.get_ref()) {
                self.report.error(place, format!("option `{}`: {why}", name.escape_debug()), "");
            } else if at >= carriers::options::MOST {
                let message = format!("option `{name}` is one more than {}", carriers::options::MOST);
                self.report.error(place, message, "");
            } else {
                self.asked.push(Asked { place, name: name.clone(), value: value.get_ref().clone(), group });
            }
        }
        Options::joined(written.iter().map(|(name, value)| (name.as_str(), value.get_ref().as_str())))
    }

    /// Asks the channels.
    pub(super) fn known_options(&mut self, channels: &[Channel], groups: &[Group]) {
        for Asked { place, name, value, group } in std::mem::take(&mut self.asked) {
            let group = group.and_then(|id| groups.iter().find(|group| group.id == id));
            let members: Vec<&Channel> =
                channels.iter().filter(|c| group.is_none_or(|group| group.channels.contains(&c.id))).collect();
            let mut known = false;
            for channel in &members {
                match channel.profile.takes(&name, &value) {
                    Ok(knows) => known |= knows,
                    Err(why) => {
                        let message = format!("option `{name}` does not fit channel \"{}\"", channel.name);
                        self.report.error(place.clone(), message, format!("wanted: {why}"));
                        known = true;
                    }
                }
            }
            // Of a group one of whose channels is itself wrong, nothing can be said.
            let whole = self.complete && group.map_or(!self.report.failed(), |g| g.channels.len() == members.len());
            if !known && whole {
                let whose = group.map_or_else(String::new, |group| format!(" of group \"{}\"", group.name));
                self.report.error(place, format!("no channel{whose} knows the option `{name}`"), "");
            }
        }
    }
}
