//! Where the boxes of a layered picture stand (Sugiyama, Tagawa and Toda 1981): layers by the longest way from an input, an
//! order within each layer by the median of neighbours, and places along the layer that keep the order. All ties are broken by
//! position, so the same graph always gives the same picture. How high a layer is, the page decides: it depends on which boxes
//! are open.

use serde::Serialize;

/// Rounds of ordering and of placing.
const ROUNDS: usize = 12;
/// Width that an edge passing by takes, in units of a box.
const PASSING: f64 = 0.16;

/// A picture: in units of a box's width, centres.
#[derive(Debug, Default, Serialize, PartialEq)]
pub struct Layout {
    /// Layer and place of every node.
    pub nodes: Vec<(usize, f64)>,
    /// Every edge, in the order given: the places where it crosses the layers between its ends.
    pub edges: Vec<Vec<f64>>,
    /// Number of layers.
    pub layers: usize,
    /// Width of the whole.
    pub width: f64,
}

/// A box, or an edge on its way through a layer.
struct Item {
    layer: usize,
    up: Vec<usize>,
    down: Vec<usize>,
    half: f64,
    x: f64,
}

/// Lays out nodes `0..n` with edges from lower to higher layers; edges that point backwards (to the same or an earlier node)
/// are drawn but do not count.
pub fn layout(n: usize, edges: &[(usize, usize)]) -> Layout {
    let forward = |e: &&(usize, usize)| e.0 < e.1 && e.1 < n;
    let mut layer = vec![0usize; n];
    let mut sorted: Vec<(usize, usize)> = edges.iter().filter(forward).copied().collect();
    sorted.sort_unstable();
    for (a, b) in &sorted {
        layer[*b] = layer[*b].max(layer[*a] + 1);
    }
    // What nothing leads to stands just above what it leads to.
    for i in 0..n {
        if sorted.iter().all(|e| e.1 != i)
            && let Some(first) = sorted.iter().filter(|e| e.0 == i).map(|e| layer[e.1]).min()
        {
            layer[i] = first - 1;
        }
    }
    let mut items: Vec<Item> = layer.iter().map(|l| Item { layer: *l, up: vec![], down: vec![], half: 0.5, x: 0.0 }).collect();
    // One way down from every node, which all edges to further layers share as far as they go together.
    let mut ways: Vec<Vec<usize>> = vec![vec![]; n];
    for (a, b) in &sorted {
        for l in layer[*a] + 1 + ways[*a].len()..layer[*b] {
            let last = *ways[*a].last().unwrap_or(a);
            let next = items.len();
            items.push(Item { layer: l, up: vec![last], down: vec![], half: PASSING / 2.0, x: 0.0 });
            items[last].down.push(next);
            ways[*a].push(next);
        }
        let before = layer[*b] - layer[*a] - 1;
        let last = if before == 0 { *a } else { ways[*a][before - 1] };
        items[last].down.push(*b);
        items[*b].up.push(last);
    }
    let layers = layer.iter().max().map_or(0, |l| l + 1);
    let mut rows: Vec<Vec<usize>> = vec![vec![]; layers];
    items.iter().enumerate().for_each(|(i, it)| rows[it.layer].push(i));
    order(&mut items, &mut rows);
    place(&mut items, &rows);
    let least = items.iter().map(|i| i.x - i.half).fold(f64::INFINITY, f64::min);
    let most = items.iter().map(|i| i.x + i.half).fold(f64::NEG_INFINITY, f64::max);
    let round = |x: f64| ((x - least) * 1000.0).round() / 1000.0;
    let crossing = |e: &(usize, usize)| {
        let between = if forward(&e) { layer[e.1] - layer[e.0] - 1 } else { 0 };
        ways.get(e.0).map_or_else(Vec::new, |w| w.iter().take(between).map(|i| round(items[*i].x)).collect())
    };
    Layout {
        nodes: (0..n).map(|i| (items[i].layer, round(items[i].x))).collect(),
        edges: edges.iter().map(crossing).collect(),
        layers,
        width: if n == 0 { 0.0 } else { round(most) },
    }
}

/// The middle of sorted numbers.
fn median(mut v: Vec<f64>) -> Option<f64> {
    v.sort_by(f64::total_cmp);
    let n = v.len();
    if n == 0 { None } else { Some((v[(n - 1) / 2] + v[n / 2]) / 2.0) }
}

/// Orders the rows by the medians of their neighbours, downwards and upwards in turn.
fn order(items: &mut [Item], rows: &mut [Vec<usize>]) {
    let mut rank: Vec<f64> = vec![0.0; items.len()];
    rows.iter().for_each(|r| r.iter().enumerate().for_each(|(k, i)| rank[*i] = k as f64));
    for round in 0..ROUNDS {
        let down = round % 2 == 0;
        for k in 0..rows.len() {
            let l = if down { k } else { rows.len() - 1 - k };
            let key = |i: &usize| {
                let near = if down { &items[*i].up } else { &items[*i].down };
                median(near.iter().map(|j| rank[*j]).collect()).unwrap_or(rank[*i])
            };
            let mut keyed: Vec<(f64, usize)> = rows[l].iter().map(|i| (key(i), *i)).collect();
            // The sort is stable: equal medians keep their order.
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows[l] = keyed.into_iter().map(|x| x.1).collect();
            // Ranks as shares of the row, so that rows of different length compare.
            let n = rows[l].len() as f64;
            rows[l].iter().enumerate().for_each(|(k, i)| rank[*i] = (k as f64 + 0.5) / n * 100.0);
        }
    }
}

/// Gives every item the median of its neighbours' places, as far as the order and the widths allow.
fn place(items: &mut [Item], rows: &[Vec<usize>]) {
    for r in rows {
        let mut x = 0.0;
        for i in r {
            x += items[*i].half;
            items[*i].x = x;
            x += items[*i].half + 0.12;
        }
    }
    for round in 0..ROUNDS * 2 {
        let down = round % 2 == 0;
        for k in 0..rows.len() {
            let r = &rows[if down { k } else { rows.len() - 1 - k }];
            let want: Vec<f64> = r
                .iter()
                .map(|i| {
                    let near = if down { &items[*i].up } else { &items[*i].down };
                    median(near.iter().map(|j| items[*j].x).collect()).unwrap_or(items[*i].x)
                })
                .collect();
            spread(items, r, &want);
        }
    }
}

/// The places closest to those wanted (in the mean of squares) that keep order and distance: neighbours that would overlap
/// move as one block.
fn spread(items: &mut [Item], row: &[usize], want: &[f64]) {
    // A block: the sum of what its members want of its start, their number, and where they begin in the row.
    let mut blocks: Vec<(f64, f64, usize)> = vec![];
    let mut offset = vec![0.0; row.len()];
    let mut total = 0.0;
    for (k, i) in row.iter().enumerate() {
        if k > 0 {
            total += items[row[k - 1]].half + items[*i].half + 0.12;
        }
        offset[k] = total;
        let mut b = (want[k] - total, 1.0, k);
        while let Some(last) = blocks.last()
            && last.0 / last.1 > b.0 / b.1
        {
            b = (b.0 + last.0, b.1 + last.1, last.2);
            blocks.pop();
        }
        blocks.push(b);
    }
    let mut ends: Vec<usize> = blocks.iter().skip(1).map(|b| b.2).collect();
    ends.push(row.len());
    for (b, end) in blocks.iter().zip(ends) {
        for k in b.2..end {
            items[row[k]].x = b.0 / b.1 + offset[k];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(l: &Layout) {
        for (i, a) in l.nodes.iter().enumerate() {
            for b in &l.nodes[i + 1..] {
                assert!(a.0 != b.0 || (a.1 - b.1).abs() >= 0.999, "{a:?} and {b:?} overlap");
            }
        }
    }

    #[test]
    fn a_chain_is_straight_and_a_skip_goes_around() {
        let l = layout(4, &[(0, 1), (1, 2), (2, 3), (0, 3)]);
        assert_eq!(l.nodes.iter().map(|n| n.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(l.edges[3].len(), 2);
        assert!(l.edges[3].iter().zip(&l.nodes[1..]).all(|(x, n)| (x - n.1).abs() > 0.5));
        apart(&l);
        assert_eq!(layout(0, &[]), Layout { width: 0.0, ..Layout::default() });
    }

    #[test]
    fn wide_graphs_do_not_overlap_and_are_the_same_every_time() {
        let edges: Vec<(usize, usize)> = (1..60).flat_map(|i| [(i / 3, i), (i / 7, i)]).filter(|e| e.0 != e.1).collect();
        let l = layout(60, &edges);
        apart(&l);
        assert_eq!(l, layout(60, &edges));
        assert!(edges.iter().all(|(a, b)| l.nodes[*a].0 < l.nodes[*b].0));
    }

    #[test]
    fn backward_edges_do_no_harm() {
        let l = layout(2, &[(1, 0), (0, 0), (0, 1), (5, 9)]);
        assert_eq!(l.nodes.iter().map(|n| n.0).collect::<Vec<_>>(), [0, 1]);
    }
}
