// conv_transposed.wgsl - the transposed convolution of x[N, Cin, Hi, Wi] with w[Cin, Cout/groups, kh, kw]: output
// (row, column) gathers the inputs that reach it. An invocation one pixel of four channels. Node: HAS_BIAS, CLAMP. With
// axis.wgsl, item1.wgsl, conv_sum.wgsl.

// The input that tap k carries to output position o; below 0 if there is none.
fn source(a: Axis, o: i32, k: i32) -> i32 {
    let at = o + a.padding - k * a.dilation;
    if (at < 0 || at % a.stride != 0 || at / a.stride >= a.input) {
        return -1;
    }
    return at / a.stride;
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.c.n) {
        return;
    }
    let b = conv_block(p.c, i, 4u, 1u);
    // Channels past the end of the group are the last one again, and are not stored.
    let left = p.c.channels_out - b.oc;
    let step = vec3<u32>(min(1u, left - 1u), min(2u, left - 1u), min(3u, left - 1u));
    let taps = u32(p.c.h.taps * p.c.w.taps);
    let channel = b.g * p.c.channels_out + b.oc;
    let plane = u32(p.c.h.input * p.c.w.input);
    let out_plane = u32(p.c.h.output * p.c.w.output);
    let out = (b.image * p.c.groups * p.c.channels_out + channel) * out_plane + u32(b.row * p.c.w.output + b.column);
    let image = ((b.image * p.c.groups + b.g) * p.c.channels_in + p.c.first) * plane;
    let kernel = ((b.g * p.c.channels_in + p.c.first) * p.c.channels_out + b.oc) * taps;

    var sum = vec4<f32>(begin(channel, out), begin(channel + step.x, out + step.x * out_plane),
                        begin(channel + step.y, out + step.y * out_plane),
                        begin(channel + step.z, out + step.z * out_plane));
    for (var kh = 0; kh < p.c.h.taps; kh++) {
        let row = source(p.c.h, b.row, kh);
        if (row < 0) {
            continue;
        }
        for (var kw = 0; kw < p.c.w.taps; kw++) {
            let column = source(p.c.w, b.column, kw);
            if (column < 0) {
                continue;
            }
            var xi = image + u32(row * p.c.w.input + column);
            var wi = kernel + u32(kh * p.c.w.taps + kw);
            for (var ic = p.c.first; ic < p.c.last; ic++) {
                let weights = vec4<f32>(w[wi], w[wi + step.x * taps], w[wi + step.y * taps], w[wi + step.z * taps]);
                sum += x[xi] * weights;
                xi += plane;
                wi += p.c.channels_out * taps;
            }
        }
    }
    finish(out, sum.x);
    if (left > 1u) {
        finish(out + out_plane, sum.y);
    }
    if (left > 2u) {
        finish(out + 2u * out_plane, sum.z);
    }
    if (left > 3u) {
        finish(out + 3u * out_plane, sum.w);
    }
}
