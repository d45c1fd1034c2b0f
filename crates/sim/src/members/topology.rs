//! Who is linked with whom.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

/// The shape of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// Everybody with everybody.
    Full,
    /// At random, with about so many links each.
    Regular(u32),
    /// Each with the next.
    Line,
    /// The same, closed.
    Ring,
}

/// A text that names no topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give `full`, `line`, `ring`, or the number of links of a node")]
pub struct ParseError;

impl FromStr for Topology {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "full" => Ok(Self::Full),
            "line" => Ok(Self::Line),
            "ring" => Ok(Self::Ring),
            number => match number.parse() {
                Ok(degree) if degree >= 2 => Ok(Self::Regular(degree)),
                Ok(_) | Err(_) => Err(ParseError),
            },
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Regular(degree) => write!(f, "{degree}"),
            Self::Line => f.write_str("line"),
            Self::Ring => f.write_str("ring"),
        }
    }
}

impl Topology {
    /// The links between so many nodes, the lower number first, in their order. All are connected; who stands where is
    /// drawn.
    pub fn links(self, nodes: u32, rng: &mut ChaCha12Rng) -> Vec<[u32; 2]> {
        let mut links = BTreeSet::new();
        let places = shuffled(nodes, rng);
        let mut link = |a: u32, b: u32| {
            let [a, b] = [places[a as usize], places[b as usize]];
            if a != b {
                links.insert([a.min(b), a.max(b)]);
            }
        };
        match self {
            Self::Full => (0..nodes).for_each(|b| (0..b).for_each(|a| link(a, b))),
            Self::Line => (1..nodes).for_each(|b| link(b - 1, b)),
            Self::Ring => (0..nodes).for_each(|a| link(a, (a + 1) % nodes)),
            Self::Regular(degree) if degree + 1 >= nodes => return Self::Full.links(nodes, rng),
            Self::Regular(degree) => {
                // Each round of all nodes in some order gives each two links, and connects all.
                for _ in 0..degree / 2 {
                    let order = shuffled(nodes, rng);
                    for at in 0..order.len() {
                        link(order[at], order[(at + 1) % order.len()]);
                    }
                }
                if degree % 2 == 1 {
                    let order = shuffled(nodes, rng);
                    order.chunks_exact(2).for_each(|pair| link(pair[0], pair[1]));
                }
            }
        }
        links.into_iter().collect()
    }
}

/// Links more, so that those who keep to the rules are connected without the others: no network helps whom liars
/// surround.
pub(super) fn join(links: &mut Vec<[u32; 2]>, nodes: u32, is_honest: impl Fn(u32) -> bool) {
    let honest: Vec<u32> = (0..nodes).filter(|node| is_honest(*node)).collect();
    let mut part: Vec<u32> = (0..nodes).collect();
    for [a, b] in links.iter().filter(|link| link.iter().all(|node| is_honest(*node))) {
        unite(&mut part, *a, *b);
    }
    for pair in honest.windows(2) {
        if part[pair[0] as usize] != part[pair[1] as usize] {
            unite(&mut part, pair[0], pair[1]);
            links.push([pair[0], pair[1]]);
        }
    }
}

fn unite(part: &mut [u32], a: u32, b: u32) {
    let (kept, gone) = (part[a as usize], part[b as usize]);
    part.iter_mut().filter(|part| **part == gone).for_each(|part| *part = kept);
}

fn shuffled(nodes: u32, rng: &mut ChaCha12Rng) -> Vec<u32> {
    let mut order: Vec<u32> = (0..nodes).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, rng.random_range(0..=at));
    }
    order
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn reached(nodes: u32, links: &[[u32; 2]]) -> usize {
        let mut seen = BTreeSet::from([0]);
        let mut next = vec![0];
        while let Some(at) = next.pop() {
            for [a, b] in links.iter().filter(|link| link.contains(&at)) {
                let other = if *a == at { *b } else { *a };
                if seen.insert(other) {
                    next.push(other);
                }
            }
        }
        assert!(nodes >= seen.len() as u32);
        seen.len()
    }

    #[test]
    fn every_topology_connects_all_of_its_nodes() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        for topology in
            [Topology::Full, Topology::Line, Topology::Ring, Topology::Regular(3), Topology::Regular(8)]
        {
            for nodes in [1, 2, 3, 4, 9, 40] {
                let links = topology.links(nodes, &mut rng);
                assert_eq!(reached(nodes, &links), nodes as usize, "{topology} of {nodes}");
                assert_eq!(topology.to_string().parse(), Ok(topology));
            }
        }
        let many = Topology::Regular(8).links(1_000, &mut rng);
        assert!((3_950..=4_000).contains(&many.len()), "{} links", many.len());
    }

    #[test]
    fn those_who_keep_to_the_rules_are_connected_without_the_others() {
        let mut rng = ChaCha12Rng::seed_from_u64(2);
        let is_honest = |node| node % 3 != 1;
        for topology in [Topology::Line, Topology::Ring, Topology::Regular(3)] {
            let mut links = topology.links(20, &mut rng);
            join(&mut links, 20, is_honest);
            links.retain(|link| link.iter().all(|node| is_honest(*node)));
            assert_eq!(reached(20, &links), 13, "{topology}");
        }
    }

    #[test]
    fn a_text_that_names_none_is_refused() {
        for text in ["", "star", "1", "-3"] {
            assert_eq!(text.parse::<Topology>(), Err(ParseError));
        }
    }
}
