// kv_store.wgsl - writing caches of every type (see kv_load.wgsl), bound as array<u32>. An invocation writes whole words
// only: UNIT elements of a row at a time, 4 of f32, 8 of f16, 64 of q8_0 (two scales share a word). The file after it
// has source4(to, e), elements e .. e + 3 of the row, and put(to, word, value), which stores a word of it.

const LARGEST_HALF: f32 = 65504.0;

fn store_block(to: Target, block: u32) -> u32 {
    var bits = 0u; // of the largest: NaN is above all
    for (var i = 0u; i < 8u; i++) {
        let x = bitcast<vec4<u32>>(source4(to, block * 32u + 4u * i)) & vec4<u32>(0x7FFFFFFFu);
        bits = max(bits, max(max(x.x, x.y), max(x.z, x.w)));
    }
    let scaled = min(bitcast<f32>(bits) / 127.0, LARGEST_HALF);
    let half = select(pack2x16float(vec2<f32>(scaled, 0.0)), 0x7E00u, bits > 0x7F800000u); // a NaN stays one
    let scale = unpack2x16float(half).x; // as it will be read
    let factor = select(0.0, 1.0 / scale, scale > 0.0);
    for (var i = 0u; i < 8u; i++) {
        let x = round(source4(to, block * 32u + 4u * i) * factor);
        let code = vec4<u32>(vec4<i32>(clamp(x, vec4<f32>(-127.0), vec4<f32>(127.0)))) & vec4<u32>(255u);
        put(to, block * 8u + i, code.x | (code.y << 8u) | (code.z << 16u) | (code.w << 24u));
    }
    return half;
}

fn store_unit(to: Target, unit: u32) {
    if (KV_TYPE == 0u) {
        let x = bitcast<vec4<u32>>(source4(to, unit * 4u));
        put(to, unit * 4u, x.x);
        put(to, unit * 4u + 1u, x.y);
        put(to, unit * 4u + 2u, x.z);
        put(to, unit * 4u + 3u, x.w);
    } else if (KV_TYPE == 1u) {
        for (var i = 0u; i < 2u; i++) {
            let x = source4(to, unit * 8u + 4u * i);
            put(to, unit * 4u + 2u * i, pack2x16float(x.xy));
            put(to, unit * 4u + 2u * i + 1u, pack2x16float(x.zw));
        }
    } else {
        var scales = store_block(to, 2u * unit);
        if (unit * 64u + 32u < p.row_elements) {
            scales |= store_block(to, 2u * unit + 1u) << 16u;
        }
        put(to, p.row_elements / 4u + unit, scales);
    }
}
