// attend_wave_q.wgsl - what attend_wave.wgsl reads: q, and caches that hold all rows.

// Eight `own` of query t, scaled.
fn query_eight(kv: u32, t: u32, own: u32) -> Eight {
    let at = query_at(kv, t) + 2u * own;
    return Eight(q[at] * p.scale, q[at + 1u] * p.scale);
}

fn key(row: u32, e: u32) -> Packed {
    return load_k(row, e);
}

fn value(row: u32, e: u32) -> Packed {
    return load_v(row, e);
}

fn make_row(work: Work, own: u32) {}

fn key_or_new(x: Packed, row: u32) -> Packed {
    return x;
}

fn value_or_new(x: Packed, row: u32) -> Packed {
    return x;
}

fn store_row(work: Work, own: u32) {}
