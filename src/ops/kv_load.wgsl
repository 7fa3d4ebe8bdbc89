// kv_load.wgsl - reading caches of every type (KV_TYPE 0: f32, 1: f16, 2: q8_0; src/ops/kv.h). All are bound as
// array<vec4<u32>>, a row of Hkv * D elements taking p.row4 of them; the type is a constant, so only its branch stays.
// `e` counts eights (or fours) of elements from the beginning of a row.

//
// Of eights, loading and unpacking are two functions, so that a kernel can load ahead of the work that it waits for.

// Eight elements as they are stored: f32 in both; f16 in a; q8_0 with 16 codes in a, the word of its scale in b.x.
struct Packed {
    a: vec4<u32>,
    b: vec4<u32>,
}

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

// q8_0: the vec4 of a row and the word in it that hold the scale of eight e, a half for each block of 32.
fn scale_vec4(e: u32) -> u32 {
    return p.row_elements / 16u + e / 32u;
}

fn scale_word(x: vec4<u32>, e: u32) -> u32 {
    return x[e / 8u % 4u];
}

fn scale_of(word: u32, e: u32) -> f32 {
    return unpack2x16float(word)[e / 4u % 2u];
}

fn load_k(row: u32, e: u32) -> Packed {
    let at = row * p.row4;
    if (KV_TYPE == 0u) {
        return Packed(k_cache[at + 2u * e], k_cache[at + 2u * e + 1u]);
    }
    if (KV_TYPE == 1u) {
        return Packed(k_cache[at + e], vec4<u32>());
    }
    return Packed(k_cache[at + e / 2u], vec4<u32>(scale_word(k_cache[at + scale_vec4(e)], e)));
}

fn load_v(row: u32, e: u32) -> Packed {
    let at = row * p.row4;
    if (KV_TYPE == 0u) {
        return Packed(v_cache[at + 2u * e], v_cache[at + 2u * e + 1u]);
    }
    if (KV_TYPE == 1u) {
        return Packed(v_cache[at + e], vec4<u32>());
    }
    return Packed(v_cache[at + e / 2u], vec4<u32>(scale_word(v_cache[at + scale_vec4(e)], e)));
}

fn unpack(x: Packed, e: u32) -> Eight {
    if (KV_TYPE == 0u) {
        return Eight(bitcast<vec4<f32>>(x.a), bitcast<vec4<f32>>(x.b));
    }
    if (KV_TYPE == 1u) {
        return Eight(four_halves(x.a.xy), four_halves(x.a.zw));
    }
    let words = select(x.a.xy, x.a.zw, (e & 1u) == 1u);
    let scale = scale_of(x.b.x, e);
    return Eight(four_codes(words.x) * scale, four_codes(words.y) * scale);
}

// Four elements out of the vec4 that holds them, of q8_0 without the scale.
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
    let x = unpack_four(k_cache[at + (e >> KV_TYPE)], e);
    if (KV_TYPE != 2u) {
        return x;
    }
    return x * scale_of(scale_word(k_cache[at + scale_vec4(e / 2u)], e / 2u), e / 2u);
}

fn v_four(row: u32, e: u32) -> vec4<f32> {
    let at = row * p.row4;
    let x = unpack_four(v_cache[at + (e >> KV_TYPE)], e);
    if (KV_TYPE != 2u) {
        return x;
    }
    return x * scale_of(scale_word(v_cache[at + scale_vec4(e / 2u)], e / 2u), e / 2u);
}
