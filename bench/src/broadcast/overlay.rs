//! Who is connected with whom: random graphs.

use std::collections::BTreeSet;

use super::dice::Dice;

/// How often each edge of an even graph is swapped with another, on average: it is random long before.
const SWAPS: usize = 20;

/// The neighbours of each node.
pub(crate) type Graph = Vec<BTreeSet<usize>>;

/// One after the other dials random nodes until it has so many neighbours; who is dialled has one more.
pub(crate) fn dialled(nodes: usize, least: usize, dice: &mut Dice) -> Graph {
    let mut graph = vec![BTreeSet::new(); nodes];
    for name in 0..nodes {
        let order = dice.pick(nodes, nodes);
        let mut peers = order.into_iter().filter(|peer| *peer != name);
        while graph[name].len() < least {
            let Some(peer) = peers.next() else { break };
            add(&mut graph, (name, peer));
        }
    }
    graph
}

/// Everybody has as many neighbours: a ring in which each knows the nearest, its edges then swapped two by two.
pub(crate) fn even(nodes: usize, degree: usize, dice: &mut Dice) -> Graph {
    let mut graph = vec![BTreeSet::new(); nodes];
    let ring = (0..nodes).flat_map(|a| (1..=degree / 2).map(move |step| (a, (a + step) % nodes)));
    let mut edges = ring.collect::<Vec<_>>();
    edges.iter().for_each(|&edge| add(&mut graph, edge));
    for _ in 0..SWAPS * edges.len() {
        let [i, j] = [(); 2].map(|()| dice.below(edges.len() as u64) as usize);
        let ((a, b), (c, d)) = (edges[i], edges[j]);
        let distinct = BTreeSet::from([a, b, c, d]).len() == 4;
        if distinct && !graph[a].contains(&d) && !graph[c].contains(&b) {
            [(a, b), (c, d)].iter().for_each(|&(a, b)| {
                graph[a].remove(&b);
                graph[b].remove(&a);
            });
            (edges[i], edges[j]) = ((a, d), (c, b));
            [(a, d), (c, b)].iter().for_each(|&edge| add(&mut graph, edge));
        }
    }
    graph
}

fn add(graph: &mut Graph, (a, b): (usize, usize)) {
    graph[a].insert(b);
    graph[b].insert(a);
}
