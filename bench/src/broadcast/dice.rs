//! A random generator whose seed is numbers: splitmix64.

/// The generator.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// One for each list of numbers.
    pub(crate) fn new<const N: usize>(seed: [u64; N]) -> Self {
        let mut dice = Self(0);
        for number in seed {
            dice.0 = dice.roll() ^ number;
        }
        dice
    }

    /// Any number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    /// So many distinct numbers below `n`, in random order.
    pub(crate) fn pick(&mut self, count: usize, n: usize) -> Vec<usize> {
        let mut all = (0..n).collect::<Vec<_>>();
        for at in 0..count {
            let other = at + self.below((n - at) as u64) as usize;
            all.swap(at, other);
        }
        all.truncate(count);
        all
    }
}
