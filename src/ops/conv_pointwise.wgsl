// conv_pointwise.wgsl - a 1 x 1 convolution of stride 1, y[N, Cout, P] = w[Cout, Cin/groups] . x[N, Cin, P] + bias, P
// a multiple of 4: an invocation four pixels of four channels. Node: HAS_BIAS, CLAMP. With axis.wgsl, item4.wgsl,
// conv_sum.wgsl; in axis.wgsl the picture is one row of P / 4 vectors.

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
    let plane = u32(p.c.w.input);
    let channel = b.g * p.c.channels_out + b.oc;
    let next = p.c.channels_in;
    let out = (b.image * p.c.groups * p.c.channels_out + channel) * plane + u32(b.column);
    var s0 = begin(channel, out);
    var s1 = begin(channel + step.x, out + step.x * plane);
    var s2 = begin(channel + step.y, out + step.y * plane);
    var s3 = begin(channel + step.z, out + step.z * plane);
    var xi = ((b.image * p.c.groups + b.g) * p.c.channels_in + p.c.first) * plane + u32(b.column);
    var wi = channel * p.c.channels_in + p.c.first;
    for (var ic = p.c.first; ic < p.c.last; ic++) {
        let v = x[xi];
        s0 += v * w[wi];
        s1 += v * w[wi + step.x * next];
        s2 += v * w[wi + step.y * next];
        s3 += v * w[wi + step.z * next];
        xi += plane;
        wi++;
    }
    finish(out, s0);
    if (left > 1u) {
        finish(out + plane, s1);
    }
    if (left > 2u) {
        finish(out + 2u * plane, s2);
    }
    if (left > 3u) {
        finish(out + 3u * plane, s3);
    }
}
