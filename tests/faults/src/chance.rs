//! Chance that can be repeated: everything random in a run comes from one printed seed.

/// A splitmix64 generator.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Chance from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Chance from `NEXUS_FAULT_SEED`, or from the clock; prints which.
    ///
    /// # Panics
    /// When the variable holds no number.
    #[must_use]
    pub fn of_run(test: &str) -> Self {
        let seed = std::env::var("NEXUS_FAULT_SEED").map_or_else(
            |_| crate::now_ns().unsigned_abs() / 1_000,
            |text| text.parse().expect("NEXUS_FAULT_SEED is a number"),
        );
        println!("{test}: NEXUS_FAULT_SEED={seed}");
        Self(seed)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % limit
    }
}
