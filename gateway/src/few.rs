//! A small sorted map in two pieces of memory: for what a configuration names (tiers, groups, channels, links, apps),
//! which is little, changes seldom and is looked up with every message.

/// Up to so many keys are looked through one by one.
const LINE: usize = 16;

/// A map from few keys; its order is theirs. Lookups cost some compares of neighbours in memory, inserts and removals a
/// move of what lies behind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Few<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Few { keys: Vec::new(), values: Vec::new() }
    }
}

impl<K: Copy + Ord, V> Few<K, V> {
    pub(crate) fn new() -> Self {
        Few::default()
    }

    /// Where the key is, or where it would be.
    #[inline]
    fn find(&self, key: &K) -> Result<usize, usize> {
        if self.keys.len() > LINE {
            return self.keys.binary_search(key);
        }
        match self.keys.iter().position(|known| known >= key) {
            Some(at) if self.keys.get(at) == Some(key) => Ok(at),
            Some(at) => Err(at),
            None => Err(self.keys.len()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(self.find(key).ok()?)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.values.get_mut(at)
    }

    /// The key's value, made where there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let at = match self.find(&key) {
            Ok(at) => at,
            Err(at) => {
                self.keys.insert(at, key);
                self.values.insert(at, make());
                at
            }
        };
        &mut self.values[at]
    }

    /// The key's value from now on; what it was before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.values[at], value)),
            Err(at) => {
                self.keys.insert(at, key);
                self.values.insert(at, value);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key).ok()?;
        self.keys.remove(at);
        Some(self.values.remove(at))
    }

    /// Keeps those of which that is true.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let all = std::mem::take(&mut self.keys).into_iter().zip(std::mem::take(&mut self.values));
        for (key, mut value) in all {
            if keep(&key, &mut value) {
                self.keys.push(key);
                self.values.push(value);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.keys.iter().zip(&self.values)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.keys.iter().zip(&mut self.values)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.values.iter()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.values.iter_mut()
    }

    /// All, beginning with the first key after that one and ending with that one.
    pub(crate) fn round_after(&self, key: &K) -> impl Iterator<Item = (&K, &V)> {
        let start = match self.find(key) {
            Ok(at) => at + 1,
            Err(at) => at,
        };
        (start..self.len()).chain(0..start).filter_map(|at| Some((self.keys.get(at)?, self.values.get(at)?)))
    }
}

impl<K: Copy + Ord, V> FromIterator<(K, V)> for Few<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut few = Few::new();
        few.extend(pairs);
        few
    }
}

impl<K: Copy + Ord, V> Extend<(K, V)> for Few<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        pairs.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

#[cfg(test)]
impl<K: Copy + Ord, V> std::ops::Index<&K> for Few<K, V> {
    type Output = V;
    fn index(&self, key: &K) -> &V {
        self.get(key).expect("a key that is there")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the map of the library, with few keys and with many.
        #[test]
        fn it_behaves_as_a_sorted_map(ops in prop::collection::vec((0u8..6, 0u16..40, any::<u8>()), 1..400), most in 1u16..40) {
            let (mut few, mut model) = (Few::new(), BTreeMap::new());
            for (op, key, value) in ops {
                let key = key % most;
                match op {
                    0 | 1 => prop_assert_eq!(few.insert(key, value), model.insert(key, value)),
                    2 => prop_assert_eq!(few.remove(&key), model.remove(&key)),
                    3 => prop_assert_eq!(few.get_or_insert_with(key, || value), model.entry(key).or_insert(value)),
                    4 => prop_assert_eq!(few.get_mut(&key), model.get_mut(&key)),
                    _ => {
                        few.retain(|key, kept| key % 7 != 0 || *kept > value);
                        model.retain(|key, kept| key % 7 != 0 || *kept > value);
                    }
                }
                prop_assert_eq!((few.len(), few.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(few.get(&key), model.get(&key));
                prop_assert!(few.iter().eq(model.iter()) && few.values().eq(model.values()));
                let round = model.range(key + 1..).chain(model.range(..=key));
                prop_assert!(few.round_after(&key).eq(round));
            }
            prop_assert_eq!(few, model.into_iter().collect());
        }
    }
}
