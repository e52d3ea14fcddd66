//! Places tasks in layers from left to right: the group decides the layer, and within a layer tasks go where their
//! neighbours are. Edges that skip layers get a place in each layer between, so that they do not run through tasks.

use std::collections::HashMap;

use crate::graph::Graph;

/// Above this many places for skipping edges, such edges are drawn straight: a picture that large is an overview.
const MAX_WAYPOINTS: usize = 4_000;
/// How often the layers are swept, forth and back.
const SWEEPS: usize = 6;
/// Height of a task with the gap below it, and of a waypoint, in pixels.
const TASK_STEP: f64 = 64.0;
const WAYPOINT_STEP: f64 = 28.0;

/// Where everything stands. Places are indices into `y`; the first ones are the tasks, in the order of the file.
pub(super) struct Layout {
    /// The vertical middle of each place, in pixels from the top of the drawing area.
    pub(super) y: Vec<f64>,
    /// The layer of each place.
    pub(super) layer: Vec<usize>,
    /// Each edge as the places it passes, from its first task to its last.
    pub(super) routes: Vec<Vec<usize>>,
    /// Height of the drawing area.
    pub(super) height: f64,
}

pub(super) fn layout(graph: &Graph) -> Layout {
    let mut net = Net::new(graph);
    net.order_layers();
    let (y, height) = net.place();
    Layout {
        y,
        height,
        layer: net.layer,
        routes: net.routes,
    }
}

/// Tasks and waypoints with the neighbours that each has in the layers beside its own.
struct Net {
    tasks: usize,
    layer: Vec<usize>,
    left: Vec<Vec<usize>>,
    right: Vec<Vec<usize>>,
    layers: Vec<Vec<usize>>,
    routes: Vec<Vec<usize>>,
}

impl Net {
    fn new(graph: &Graph) -> Self {
        let ids = graph.ids();
        let number: HashMap<&str, usize> = ids.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
        let mut layer: Vec<usize> = ids.iter().map(|id| graph.group_of(id).unwrap_or_default()).collect();
        let edges: Vec<(usize, usize)> = graph
            .edges()
            .into_iter()
            .map(|(from, to)| (number[from], number[to]))
            .collect();
        let skipped: usize = edges.iter().map(|(from, to)| layer[*to] - layer[*from] - 1).sum();
        let mut routes = Vec::with_capacity(edges.len());
        for (from, to) in edges {
            let mut route = vec![from];
            if skipped <= MAX_WAYPOINTS {
                for between in layer[from] + 1..layer[to] {
                    route.push(layer.len());
                    layer.push(between);
                }
            }
            route.push(to);
            routes.push(route);
        }
        let mut left = vec![Vec::new(); layer.len()];
        let mut right = vec![Vec::new(); layer.len()];
        for route in &routes {
            for pair in route.windows(2) {
                right[pair[0]].push(pair[1]);
                left[pair[1]].push(pair[0]);
            }
        }
        let depth = layer.iter().max().map_or(0, |deepest| deepest + 1);
        let mut layers = vec![Vec::new(); depth];
        for (place, layer) in layer.iter().enumerate() {
            layers[*layer].push(place);
        }
        Self {
            tasks: ids.len(),
            layer,
            left,
            right,
            layers,
            routes,
        }
    }

    /// Sorts each layer by the mean place of its neighbours, forth and back, which undoes most crossings.
    fn order_layers(&mut self) {
        let mut rank = vec![0.0_f64; self.layer.len()];
        for layer in &self.layers {
            renumber(layer, &mut rank);
        }
        for sweep in 0..SWEEPS {
            let forth = sweep % 2 == 0;
            let neighbours = if forth { &self.left } else { &self.right };
            for i in 0..self.layers.len() {
                let i = if forth { i } else { self.layers.len() - 1 - i };
                let layer = &mut self.layers[i];
                let key: HashMap<usize, f64> = layer
                    .iter()
                    .map(|place| (*place, mean(&neighbours[*place], &rank).unwrap_or(rank[*place])))
                    .collect();
                layer.sort_by(|a, b| key[a].total_cmp(&key[b]));
                renumber(layer, &mut rank);
            }
        }
    }

    /// Gives every place its height: as near to its neighbours as the gaps allow.
    fn place(&self) -> (Vec<f64>, f64) {
        let mut y = vec![0.0_f64; self.layer.len()];
        for layer in &self.layers {
            let total: f64 = layer.iter().map(|place| self.step(*place)).sum();
            let mut at = -total / 2.0;
            for &place in layer {
                y[place] = at + self.step(place) / 2.0;
                at += self.step(place);
            }
        }
        for sweep in 0..SWEEPS {
            let forth = sweep % 2 == 0;
            let neighbours = if forth { &self.left } else { &self.right };
            for i in 0..self.layers.len() {
                let layer = &self.layers[if forth { i } else { self.layers.len() - 1 - i }];
                self.settle(layer, neighbours, &mut y);
            }
        }
        let top = (0..y.len())
            .map(|place| y[place] - self.step(place) / 2.0)
            .fold(f64::INFINITY, f64::min);
        let bottom = (0..y.len())
            .map(|place| y[place] + self.step(place) / 2.0)
            .fold(f64::NEG_INFINITY, f64::max);
        if y.is_empty() {
            return (y, 0.0);
        }
        for place in &mut y {
            *place -= top;
        }
        (y, bottom - top)
    }

    /// Moves one layer: every place wants the mean of its neighbours; the order and the gaps are kept.
    fn settle(&self, layer: &[usize], neighbours: &[Vec<usize>], y: &mut [f64]) {
        let wanted: Vec<f64> = layer
            .iter()
            .map(|place| mean(&neighbours[*place], y).unwrap_or(y[*place]))
            .collect();
        let mut down = Vec::with_capacity(layer.len());
        for (i, &place) in layer.iter().enumerate() {
            let least = match i.checked_sub(1) {
                Some(before) => down[before] + (self.step(layer[before]) + self.step(place)) / 2.0,
                None => f64::NEG_INFINITY,
            };
            down.push(wanted[i].max(least));
        }
        let mut up = vec![0.0; layer.len()];
        for (i, &place) in layer.iter().enumerate().rev() {
            let most = match layer.get(i + 1) {
                Some(&after) => up[i + 1] - (self.step(after) + self.step(place)) / 2.0,
                None => f64::INFINITY,
            };
            up[i] = wanted[i].min(most);
        }
        // Between the two solutions lies one that keeps the gaps as well and favours neither end.
        for (i, &place) in layer.iter().enumerate() {
            y[place] = f64::midpoint(down[i], up[i]);
        }
    }

    fn step(&self, place: usize) -> f64 {
        if place < self.tasks { TASK_STEP } else { WAYPOINT_STEP }
    }
}

fn renumber(layer: &[usize], rank: &mut [f64]) {
    let mut number = 0.0;
    for place in layer {
        rank[*place] = number;
        number += 1.0;
    }
}

fn mean(places: &[usize], values: &[f64]) -> Option<f64> {
    let mut count = 0.0;
    let mut sum = 0.0;
    for place in places {
        sum += values[*place];
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}
