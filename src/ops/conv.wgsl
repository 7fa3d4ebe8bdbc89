// conv.wgsl - y[N, Cout, Ho, Wo] = x[N, Cin, Hi, Wi] * w[Cout, Cin/groups, kh, kw] + bias[Cout]: an invocation four
// columns (the lanes of a vec4) of BLOCK channels. Row: BLOCK 4 or 1; node: HAS_BIAS, CLAMP. With axis.wgsl.
struct Params {
    c: Conv,
    low: f32, // of the clamp
    high: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// The four columns of one tap: where they are in a row of x, clamped into it, and which of them are inside.
struct Tap {
    at: vec4<u32>,
    inside: vec4<bool>,
}

fn tap(column: i32, k: i32) -> Tap {
    let at = vec4<i32>(column - p.c.w.padding + k * p.c.w.dilation) + vec4<i32>(0, 1, 2, 3) * p.c.w.stride;
    let inside = (at >= vec4<i32>(0)) & (at < vec4<i32>(p.c.w.input));
    return Tap(vec4<u32>(clamp(at, vec4<i32>(0), vec4<i32>(p.c.w.input - 1))), inside);
}

// The sums begin with the bias, or with what an earlier dispatch has summed. `column`: of y.
fn begin(channel: u32, at: u32, columns: u32) -> vec4<f32> {
    if (p.c.first != 0u) {
        let last = columns - 1u;
        return vec4<f32>(y[at], y[at + min(1u, last)], y[at + min(2u, last)], y[at + last]);
    }
    if (HAS_BIAS == 1u) {
        return vec4<f32>(bias[channel]);
    }
    return vec4<f32>(0.0);
}

fn finish(at: u32, columns: u32, sum: vec4<f32>) {
    var v = sum;
    if (CLAMP == 1u && p.c.last == p.c.channels_in) {
        v = clamp(v, vec4<f32>(p.low), vec4<f32>(p.high));
    }
    y[at] = v.x;
    if (columns > 1u) {
        y[at + 1u] = v.y;
    }
    if (columns > 2u) {
        y[at + 2u] = v.z;
    }
    if (columns > 3u) {
        y[at + 3u] = v.w;
    }
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.c.n) {
        return;
    }
    let b = conv_block(p.c, i, BLOCK, 4u);
    // Channels past the end of the group are the last one again, and are not stored.
    let left = p.c.channels_out - b.oc;
    let step = vec3<u32>(min(1u, left - 1u), min(2u, left - 1u), min(3u, left - 1u));
    let taps = u32(p.c.h.taps * p.c.w.taps);
    let channel = b.g * p.c.channels_out + b.oc;
    let kernel = channel * p.c.channels_in * taps;
    let next = p.c.channels_in * taps; // from a channel's weights to the next one's
    let plane = u32(p.c.h.input * p.c.w.input);
    let image = (b.image * p.c.groups + b.g) * p.c.channels_in * plane;
    let out_plane = u32(p.c.h.output * p.c.w.output);
    let out = (b.image * p.c.groups * p.c.channels_out + channel) * out_plane + u32(b.row * p.c.w.output + b.column);
    let columns = min(4u, u32(p.c.w.output - b.column));

    var s0 = begin(channel, out, columns);
    var s1 = vec4<f32>(0.0);
    var s2 = vec4<f32>(0.0);
    var s3 = vec4<f32>(0.0);
    if (BLOCK > 1u) {
        s1 = begin(channel + step.x, out + step.x * out_plane, columns);
        s2 = begin(channel + step.y, out + step.y * out_plane, columns);
        s3 = begin(channel + step.z, out + step.z * out_plane, columns);
    }
    for (var kh = 0; kh < p.c.h.taps; kh++) {
        let row = b.row * p.c.h.stride - p.c.h.padding + kh * p.c.h.dilation;
        if (row < 0 || row >= p.c.h.input) {
            continue;
        }
        for (var kw = 0; kw < p.c.w.taps; kw++) {
            let t = tap(b.column * p.c.w.stride, kw);
            if (!any(t.inside)) {
                continue;
            }
            var xi = image + p.c.first * plane + u32(row * p.c.w.input);
            var wi = kernel + p.c.first * taps + u32(kh * p.c.w.taps + kw);
            for (var ic = p.c.first; ic < p.c.last; ic++) {
                let loaded = vec4<f32>(x[xi + t.at.x], x[xi + t.at.y], x[xi + t.at.z], x[xi + t.at.w]);
                let v = select(vec4<f32>(0.0), loaded, t.inside);
                s0 += v * w[wi];
                if (BLOCK > 1u) {
                    s1 += v * w[wi + step.x * next];
                    s2 += v * w[wi + step.y * next];
                    s3 += v * w[wi + step.z * next];
                }
                xi += plane;
                wi += taps;
            }
        }
    }
    finish(out, columns, s0);
    if (BLOCK > 1u) {
        if (left > 1u) {
            finish(out + out_plane, columns, s1);
        }
        if (left > 2u) {
            finish(out + 2u * out_plane, columns, s2);
        }
        if (left > 3u) {
            finish(out + 3u * out_plane, columns, s3);
        }
    }
}
