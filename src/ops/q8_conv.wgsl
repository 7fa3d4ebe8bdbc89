// q8_conv.wgsl - convolution of 8-bit codes, sums in integers: an invocation one pixel of four channels. Node: HAS_BIAS,
// RELU, TRANSPOSED. With axis.wgsl, quantize.wgsl.
struct Params {
    c: Conv,
    output: Quant,
    input_scale: f32,
    input_zero: i32,
    w_channel: u32, // bytes of w between the weights of neighbouring output channels,
    w_tap: u32,     // of neighbouring taps,
    w_in: u32,      // of neighbouring input channels
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<i32>;
@group(0) @binding(2) var<storage, read> w: array<i32>;
@group(0) @binding(3) var<storage, read> w_scales: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<i32>;

// The input that tap k carries to output o; below 0 if there is none.
fn source(a: Axis, o: i32, k: i32) -> i32 {
    var at = o * a.stride - a.padding + k * a.dilation;
    if (TRANSPOSED == 1u) {
        at = o + a.padding - k * a.dilation;
        if (at < 0 || at % a.stride != 0) {
            return -1;
        }
        at /= a.stride;
    }
    return select(-1, at, at >= 0 && at < a.input);
}

fn weight(at: u32) -> i32 {
    return extractBits(w[at / 4u], at % 4u * 8u, 8u);
}

// `scale_at`: of a transposed convolution every group has the same scales.
fn finish(at: u32, channel: u32, scale_at: u32, sum: i32) {
    var v = f32(sum) * (p.input_scale * w_scales[scale_at]);
    if (HAS_BIAS == 1u) {
        v += bias[channel];
    }
    if (RELU == 1u) {
        v = max(v, 0.0);
    }
    y[at] = quantize(v, p.output);
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
    let step = min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(left - 1u)) * p.w_channel;
    let channel = b.g * p.c.channels_out + b.oc;
    let plane = u32(p.c.h.input * p.c.w.input);
    let image = (b.image * p.c.groups + b.g) * p.c.channels_in * plane;
    var sum = vec4<i32>(0);
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
            var wi = channel * p.w_channel + u32(kh * p.c.w.taps + kw) * p.w_tap;
            for (var ic = 0u; ic < p.c.channels_in; ic++) {
                let weights = vec4<i32>(weight(wi), weight(wi + step.y), weight(wi + step.z), weight(wi + step.w));
                sum += (x[xi] - p.input_zero) * weights;
                xi += plane;
                wi += p.w_in;
            }
        }
    }
    let out_plane = u32(p.c.h.output * p.c.w.output);
    let out = (b.image * p.c.groups * p.c.channels_out + channel) * out_plane + u32(b.row * p.c.w.output + b.column);
    let scale_at = select(channel, b.oc, TRANSPOSED == 1u);
    finish(out, channel, scale_at, sum.x);
    if (left > 1u) {
        finish(out + out_plane, channel + 1u, scale_at + 1u, sum.y);
    }
    if (left > 2u) {
        finish(out + 2u * out_plane, channel + 2u, scale_at + 2u, sum.z);
    }
    if (left > 3u) {
        finish(out + 3u * out_plane, channel + 3u, scale_at + 3u, sum.w);
    }
}
