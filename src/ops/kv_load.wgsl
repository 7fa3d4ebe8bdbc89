// kv_load.wgsl - reading caches of every type (KV_TYPE 0: f32, 1: f16, 2: q8_0; src/ops/kv.h). All are bound as
// array<vec4<u32>>, a row of Hkv * D elements taking p.row4 of them; the type is a constant, so only its branch stays.
// `e` counts eights (or fours) of elements from the beginning of a row.

struct Eight {
    a: vec4<f32>,
    b: vec4<f32>,
}

fn four_halves(x: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y));
}

fn four_codes(x: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>(vec4<u32>(x << 24u, x << 16u, x << 8u, x)) >> vec4<u32>(24u));
}

// The vec4 of a row that holds the scale of eight e, and the scale in it: a half for each block of 32.
fn scale_at(e: u32) -> u32 {
    return p.row_elements / 16u + e / 32u;
}

fn scale_of(scales: vec4<u32>, e: u32) -> f32 {
    return unpack2x16float(scales[e / 8u % 4u])[e / 4u % 2u];
}

fn eight_codes(x: vec4<u32>, e: u32, scale: f32) -> Eight {
    let words = select(x.xy, x.zw, (e & 1u) == 1u);
    return Eight(four_codes(words.x) * scale, four_codes(words.y) * scale);
}

fn k_eight(row: u32, e: u32) -> Eight {
    let at = row * p.row4;
    if (KV_TYPE == 0u) {
        return Eight(bitcast<vec4<f32>>(k_cache[at + 2u * e]), bitcast<vec4<f32>>(k_cache[at + 2u * e + 1u]));
    }
    if (KV_TYPE == 1u) {
        let x = k_cache[at + e];
        return Eight(four_halves(x.xy), four_halves(x.zw));
    }
    return eight_codes(k_cache[at + e / 2u], e, scale_of(k_cache[at + scale_at(e)], e));
}

fn v_eight(row: u32, e: u32) -> Eight {
    let at = row * p.row4;
    if (KV_TYPE == 0u) {
        return Eight(bitcast<vec4<f32>>(v_cache[at + 2u * e]), bitcast<vec4<f32>>(v_cache[at + 2u * e + 1u]));
    }
    if (KV_TYPE == 1u) {
        let x = v_cache[at + e];
        return Eight(four_halves(x.xy), four_halves(x.zw));
    }
    return eight_codes(v_cache[at + e / 2u], e, scale_of(v_cache[at + scale_at(e)], e));
}

// Four elements out of what holds them: the vec4 of a row (four_at), and its scale.
fn four_at(e: u32) -> u32 {
    return e >> KV_TYPE;
}

fn unpack_four(x: vec4<u32>, e: u32) -> vec4<f32> {
    if (KV_TYPE == 0u) {
        return bitcast<vec4<f32>>(x);
    }
    if (KV_TYPE == 1u) {
        return four_halves(select(x.xy, x.zw, (e & 1u) == 1u));
    }
    return four_codes(x[e % 4u]);
}

fn k_four(row: u32, e: u32) -> vec4<f32> {
    let at = row * p.row4;
    var x = unpack_four(k_cache[at + four_at(e)], e);
    if (KV_TYPE == 2u) {
        x *= scale_of(k_cache[at + scale_at(e / 2u)], e / 2u);
    }
    return x;
}

fn v_four(row: u32, e: u32) -> vec4<f32> {
    let at = row * p.row4;
    var x = unpack_four(v_cache[at + four_at(e)], e);
    if (KV_TYPE == 2u) {
        x *= scale_of(v_cache[at + scale_at(e / 2u)], e / 2u);
    }
    return x;
}
