//! What a path pattern is compiled to, and how it is matched.
//!
//! Promise: a pattern takes some sixteen bytes for each of its characters, whatever is in it, and matching takes no more steps than
//! the product of the lengths of pattern and path. Of several ways to match, the captures are those of a greedy regular
//! expression: what stands first takes as much as it can.
//!
//! Design: backtracking by hand that comes to each choice at each place of the path once; if it was there before, it did not match
//! from there.

/// Where a captured text begins or ends; `None` until it is met.
pub(super) type Slot = Option<usize>;

/// One instruction.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// This very character.
    Is(char),
    /// Any character but `/`.
    InSegment,
    /// Any character.
    Any,
    /// A character of these ranges, or of none of them; never `/`.
    Class(Box<Class>),
    /// Goes on at the first, and if that does not match, at the second.
    Either(u32, u32, ChoiceNumber),
    Jump(u32),
    /// Remembers the place in this slot.
    Save(u32),
}

/// The number of an [`Op::Either`] among them.
type ChoiceNumber = u32;

/// A `[…]`.
#[derive(Debug, Clone)]
pub(super) struct Class {
    pub(super) except: bool,
    pub(super) ranges: Box<[(char, char)]>,
}

/// The instructions of a pattern; after the last, the path must end.
#[derive(Debug, Clone)]
pub(super) struct Program {
    ops: Box<[Op]>,
    slots: usize,
    choices: usize,
}

/// Puts a program together.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    ops: Vec<Op>,
    slots: u32,
    choices: u32,
    loops: usize,
}

/// A place in a program that is filled in later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Later(usize);

impl Assembler {
    pub(super) fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// How many times something repeats.
    pub(super) fn loops(&self) -> usize {
        self.loops
    }

    /// The slots of one more capture: where it begins, and where it ends.
    pub(super) fn slots(&mut self) -> [u32; 2] {
        self.slots += 2;
        [self.slots - 2, self.slots - 1]
    }

    /// As many as possible of what `one` stands for, which is one character.
    pub(super) fn any_number_of(&mut self, one: Op) {
        self.loops += 1;
        let start = self.here();
        let choice = self.either();
        self.ops.push(one);
        self.ops.push(Op::Jump(start));
        self.otherwise_here(choice);
    }

    /// The same, and at least one.
    pub(super) fn some_of(&mut self, one: Op) {
        self.ops.push(one.clone());
        self.any_number_of(one);
    }

    /// A choice: what follows, or what begins where [`Self::otherwise_here`] is called.
    pub(super) fn either(&mut self) -> Later {
        let next = self.here() + 1;
        self.ops.push(Op::Either(next, next, self.choices));
        self.choices += 1;
        Later(self.ops.len() - 1)
    }

    pub(super) fn otherwise_here(&mut self, choice: Later) {
        let here = self.here();
        if let Some(Op::Either(_, second, _)) = self.ops.get_mut(choice.0) {
            *second = here;
        }
    }

    /// A jump to where [`Self::land_here`] is called.
    pub(super) fn jump(&mut self) -> Later {
        self.ops.push(Op::Jump(0));
        Later(self.ops.len() - 1)
    }

    pub(super) fn land_here(&mut self, jump: Later) {
        let here = self.here();
        if let Some(Op::Jump(to)) = self.ops.get_mut(jump.0) {
            *to = here;
        }
    }

    pub(super) fn finish(self) -> Program {
        Program { ops: self.ops.into(), slots: self.slots as usize, choices: self.choices as usize }
    }

    fn here(&self) -> u32 {
        // The length of a pattern is bounded, and with it that of its program.
        u32::try_from(self.ops.len()).unwrap_or(u32::MAX)
    }
}

impl Class {
    fn has(&self, c: char) -> bool {
        c != '/' && self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.except
    }
}

/// Something to go back to.
enum Back {
    /// The second way of a choice, at this place of the path.
    To(u32, usize),
    /// What a slot was before.
    Slot(usize, Slot),
}

impl Program {
    /// How much memory it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let class = |class: &Class| size_of::<Class>() + size_of_val(&*class.ranges);
        let beyond = |op: &Op| if let Op::Class(it) = op { class(it) } else { 0 };
        size_of_val(&*self.ops) + self.ops.iter().map(beyond).sum::<usize>()
    }

    /// The slots, if the whole path matches.
    pub(super) fn run(&self, path: &str) -> Option<Vec<Slot>> {
        self.search(path, &mut 0)
    }

    /// The same; `steps` counts the instructions.
    fn search(&self, path: &str, steps: &mut usize) -> Option<Vec<Slot>> {
        let mut slots: Vec<Slot> = vec![None; self.slots];
        let (mut back, mut been) = (Vec::new(), Been::default());
        let (mut at, mut place) = (0, 0);
        loop {
            *steps += 1;
            let goes_on = match self.ops.get(at as usize) {
                None if place == path.len() => return Some(slots),
                None => false,
                Some(Op::Jump(to)) => {
                    at = *to;
                    continue;
                }
                Some(Op::Either(first, second, number)) => {
                    let new =
                        been.is_first((*number as usize) * (path.len() + 1) + place, self.choices * (path.len() + 1));
                    if new {
                        back.push(Back::To(*second, place));
                        at = *first;
                        continue;
                    }
                    false
                }
                Some(Op::Save(slot)) => {
                    let slot = *slot as usize;
                    if let Some(kept) = slots.get_mut(slot) {
                        back.push(Back::Slot(slot, kept.replace(place)));
                    }
                    at += 1;
                    continue;
                }
                Some(one) => match path.get(place..).and_then(|rest| rest.chars().next()).filter(|c| one.is_for(*c)) {
                    Some(c) => {
                        place += c.len_utf8();
                        true
                    }
                    None => false,
                },
            };
            if goes_on {
                at += 1;
                continue;
            }
            loop {
                match back.pop()? {
                    Back::To(op, then) => {
                        (at, place) = (op, then);
                        break;
                    }
                    Back::Slot(slot, before) => {
                        if let Some(kept) = slots.get_mut(slot) {
                            *kept = before;
                        }
                    }
                }
            }
        }
    }
}

impl Op {
    /// Whether it stands for this one character.
    fn is_for(&self, c: char) -> bool {
        match self {
            Self::Is(this) => *this == c,
            Self::InSegment => c != '/',
            Self::Any => true,
            Self::Class(class) => class.has(c),
            Self::Either(..) | Self::Jump(_) | Self::Save(_) => false,
        }
    }
}

/// Where the search has been; nothing is allocated until the first choice.
#[derive(Default)]
struct Been(Vec<u64>);

impl Been {
    fn is_first(&mut self, number: usize, of: usize) -> bool {
        if self.0.is_empty() {
            self.0 = vec![0; of / 64 + 1];
        }
        let Some(word) = self.0.get_mut(number / 64) else { return false };
        let bit = 1 << (number % 64);
        let first = *word & bit == 0;
        *word |= bit;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_small_and_matching_takes_no_more_steps_than_the_product_of_the_lengths() {
        assert_eq!(size_of::<Op>(), 16);
        let mut assembler = Assembler::default();
        for _ in 0..60 {
            assembler.any_number_of(Op::InSegment);
            assembler.push(Op::Is('a'));
        }
        assembler.push(Op::Is('b'));
        let program = assembler.finish();
        for length in [100, 1_000, 4_000] {
            let (mut steps, path) = (0, "a".repeat(length));
            assert!(program.search(&path, &mut steps).is_none());
            assert!(steps <= 2 * program.ops.len() * (length + 1), "{steps} of {} for {length}", program.ops.len());
            assert!(program.run(&format!("{path}b")).is_some());
        }
    }
}
