//! Task graphs: order, parallel groups, cycles, critical path, pictures.
