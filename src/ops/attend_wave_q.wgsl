// attend_wave_q.wgsl - what attend_wave.wgsl reads: q, and caches that hold all rows.

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
