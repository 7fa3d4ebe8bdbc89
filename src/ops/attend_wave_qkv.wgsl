// attend_wave_qkv.wgsl - what attend_wave.wgsl reads where it makes rope_append's work too: one row of a projection to q,
// k and v (S = 1), rotated here, and caches that hold the rows before it. Every workgroup makes the new row of its kv head
// for itself; it is written to the caches by one of them and never read from there. Spec: INTERLEAVED.

@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;           // [(Hq + 2 Hkv) * D]
@group(0) @binding(2) var<storage, read> table: array<vec4<f32>>;         // [positions, D/4]: cosine, sine of two angles
@group(0) @binding(3) var<storage, read_write> k_cache: array<vec4<u32>>; // [C, Hkv, D]
@group(0) @binding(4) var<storage, read_write> v_cache: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> o: array<vec4<f32>>;       // [1, Hq, D]
@group(0) @binding(6) var<storage, read_write> partial: array<vec4<f32>>; // [Hkv, G, n_splits, D + 4]

var<private> new_key: Packed;
var<private> new_value: Packed;

// Four elements by the angles of two pairs of neighbours.
fn turn(x: vec4<f32>, angles: vec4<f32>) -> vec4<f32> {
    return x * angles.xxzz + x.yxwz * vec4<f32>(-angles.y, angles.y, -angles.w, angles.w);
}

// Eight `own` of the head that begins at vec4 `head` of qkv, rotated.
fn rotated(head: u32, own: u32) -> Eight {
    let at = head + 2u * own;
    if (INTERLEAVED == 1u) {
        let angles = p.pos * D4 + 2u * own;
        return Eight(turn(qkv[at], table[angles]), turn(qkv[at + 1u], table[angles + 1u]));
    }
    let angles = p.pos * D4 + 4u * (own % (D8 / 2u));
    let a = array<vec4<f32>, 4>(table[angles], table[angles + 1u], table[angles + 2u], table[angles + 3u]);
    let partner = head + 2u * (own ^ (D8 / 2u));
    let sign = select(-1.0, 1.0, own >= D8 / 2u);
    return Eight(qkv[at] * vec4<f32>(a[0].xz, a[1].xz) + sign * qkv[partner] * vec4<f32>(a[0].yw, a[1].yw),
                 qkv[at + 1u] * vec4<f32>(a[2].xz, a[3].xz) + sign * qkv[partner + 1u] * vec4<f32>(a[2].yw, a[3].yw));
}

fn query_eight(kv: u32, t: u32, own: u32) -> Eight {
    let x = rotated((kv * G + t) * D4, own);
    return Eight(x.a * p.scale, x.b * p.scale);
}

fn packed(x: Eight) -> Packed {
    if (KV_TYPE == 0u) {
        return Packed(bitcast<vec4<u32>>(x.a), bitcast<vec4<u32>>(x.b));
    }
    return Packed(vec4<u32>(pack2x16float(x.a.xy), pack2x16float(x.a.zw), pack2x16float(x.b.xy),
                            pack2x16float(x.b.zw)), vec4<u32>());
}

// A row before the new one; in place of any other, one that is there and not written (C > 1).
fn old_row(row: u32) -> u32 {
    return select(row, select(p.pos - 1u, 1u, p.pos == 0u), row >= p.pos);
}

fn key(row: u32, e: u32) -> Packed {
    return load_k(old_row(row), e);
}

fn value(row: u32, e: u32) -> Packed {
    return load_v(old_row(row), e);
}

// Eight `own` of the new row.
fn make_row(work: Work, own: u32) {
    let k_head = (N_KV * G + work.kv) * D4;
    let v_at = k_head + N_KV * D4 + 2u * own;
    new_key = packed(rotated(k_head, own));
    new_value = packed(Eight(qkv[v_at], qkv[v_at + 1u]));
}

fn choose(x: Packed, new_one: Packed, is_new: bool) -> Packed {
    return Packed(select(x.a, new_one.a, is_new), select(x.b, new_one.b, is_new));
}

// What key() loaded ahead, where it is wanted.
fn key_or_new(x: Packed, row: u32) -> Packed {
    return choose(x, new_key, row >= p.pos);
}

fn value_or_new(x: Packed, row: u32) -> Packed {
    return choose(x, new_value, row >= p.pos);
}

// The first tile of the split that the new row is in writes it.
fn store_row(work: Work, own: u32) {
    if (work.end <= p.pos || work.begin > p.pos || work.t0 != 0u) {
        return;
    }
    let e = work.kv * D8 + own;
    if (KV_TYPE == 0u) {
        let at = p.pos * p.row4 + 2u * e;
        k_cache[at] = new_key.a;
        k_cache[at + 1u] = new_key.b;
        v_cache[at] = new_value.a;
        v_cache[at + 1u] = new_value.b;
    } else {
        let at = p.pos * p.row4 + e;
        k_cache[at] = new_key.a;
        v_cache[at] = new_value.a;
    }
}
