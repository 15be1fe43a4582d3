//! Who changes backend when backends change, and did not have to.
//!
//! A client has to move if its backend's weight falls (to 0 if it goes), and may move to one whose weight rises.
//! Whatever else moves is a remap: sessions and caches are lost for nothing.

use serde::ser::SerializeStruct as _;

use crate::scheduler::BackendId;

/// What became of those who were somewhere before a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remap {
    /// They stay where they were.
    pub stayed: u64,
    /// They had to move, or moved to a backend that was to get more.
    pub had_to: u64,
    /// They moved although they could have stayed.
    pub remapped: u64,
}

impl serde::Serialize for Remap {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Remap", 4)?;
        fields.serialize_field("stayed", &self.stayed)?;
        fields.serialize_field("had_to", &self.had_to)?;
        fields.serialize_field("remapped", &self.remapped)?;
        fields.serialize_field("share", &self.share().map(super::measure::rounded))?;
        fields.end()
    }
}

impl Remap {
    /// The share, from 0 to 1, of those who could have stayed that moved all the same. None if nobody could have.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let could = self.stayed + self.remapped;
        (could > 0).then(|| self.remapped as f64 / could as f64)
    }

    pub(super) fn note(&mut self, shift: &Shift, before: Option<BackendId>, after: Option<BackendId>) {
        let Some(before) = before else { return };
        if Some(before) == after {
            self.stayed += 1;
        } else if shift.fell(before) || after.is_some_and(|after| shift.rose(after)) {
            self.had_to += 1;
        } else {
            self.remapped += 1;
        }
    }
}

/// How a change shifted the weights, by backend: before and after.
#[derive(Clone, Debug, Default)]
pub(super) struct Shift(pub(super) Vec<(u32, u32)>);

impl Shift {
    fn weights(&self, id: BackendId) -> (u32, u32) {
        self.0.get(super::measure::place(id)).copied().unwrap_or_default()
    }

    fn fell(&self, id: BackendId) -> bool {
        let (before, after) = self.weights(id);
        after < before
    }

    fn rose(&self, id: BackendId) -> bool {
        let (before, after) = self.weights(id);
        after > before
    }

    /// What became of the slots of a table that is indexed by a hash.
    pub(super) fn slots(&self, before: &[Option<BackendId>], after: &[Option<BackendId>]) -> Remap {
        let mut remap = Remap::default();
        for (before, after) in before.iter().zip(after) {
            remap.note(self, *before, *after);
        }
        remap
    }
}

/// Where each of many was last, and during which change.
#[derive(Clone, Debug)]
pub(super) struct Homes {
    each: Vec<Option<(BackendId, usize)>>,
    /// How often somebody came again while nothing had changed, and how often to the same backend.
    again: u64,
    same: u64,
}

/// Who finds those who come again at the same backend so often, while nothing changes, keeps them there.
const KEEPS: f64 = 0.9;

impl Homes {
    pub(super) fn new(number: usize) -> Self {
        Self {
            each: vec![None; number],
            again: 0,
            same: 0,
        }
    }

    /// Whether they are kept where they are while nothing changes. If not, a change takes nobody away from where he was.
    pub(super) fn are_kept(&self) -> bool {
        self.again > 0 && self.same as f64 >= KEEPS * self.again as f64
    }

    /// One comes. Who was there before the last change and comes for the first time since tells what it did.
    /// `step` is how many changes there were.
    pub(super) fn visit(
        &mut self,
        who: u32,
        chosen: Option<BackendId>,
        step: usize,
        mut tell: impl FnMut(BackendId, Option<BackendId>),
    ) {
        let home = &mut self.each[who as usize];
        if let Some((before, known)) = *home
            && known == step
        {
            self.again += 1;
            self.same += u64::from(chosen == Some(before));
        }
        if let Some((before, known)) = *home
            && known + 1 == step
        {
            tell(before, chosen);
        }
        // Who is refused has nowhere to be, and is not asked about a second time.
        *home = chosen.map(|chosen| (chosen, step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u16]) -> Vec<Option<BackendId>> {
        ids.iter().map(|id| (*id > 0).then_some(BackendId(*id))).collect()
    }

    #[test]
    fn only_who_could_have_stayed_is_remapped() {
        // The second goes, the third comes, the others stay.
        let shift = Shift(vec![(1, 1), (1, 0), (0, 1), (2, 2)]);
        let remap = shift.slots(&ids(&[1, 2, 1, 1, 4, 0, 2]), &ids(&[1, 4, 3, 4, 4, 1, 0]));
        assert_eq!(
            remap,
            Remap {
                stayed: 2,
                had_to: 3,
                remapped: 1
            }
        );
        assert_eq!(remap.share(), Some(1.0 / 3.0));
        assert_eq!(Remap::default().share(), None);
    }

    #[test]
    fn each_is_asked_once_about_a_change() {
        let mut homes = Homes::new(2);
        let mut told = Vec::new();
        for (who, chosen, step) in [(0, 1, 0), (1, 2, 0), (0, 1, 1), (0, 3, 1), (1, 2, 2), (0, 3, 2)] {
            homes.visit(who, Some(BackendId(chosen)), step, |before, after| {
                told.push((who, before.0, after.map(|after| after.0), step));
            });
        }
        assert_eq!(told, [(0, 1, Some(1), 1), (0, 3, Some(3), 2)]);
    }

    #[test]
    fn who_goes_elsewhere_without_a_change_is_not_kept() {
        let kept = |comes: &[(u16, usize)]| {
            let mut homes = Homes::new(1);
            for (chosen, step) in comes {
                homes.visit(0, Some(BackendId(*chosen)), *step, |_, _| {});
            }
            homes.are_kept()
        };
        assert!(kept(&[(1, 0), (1, 0), (2, 1), (2, 1)]));
        assert!(!kept(&[(1, 0), (2, 0), (1, 0)]));
        // Nobody came again in time to tell.
        assert!(!kept(&[(1, 0), (1, 1)]));
    }
}
