// linear_share_memory.wgsl - the lanes of a step exchange their units of x through workgroup memory; every unit has its own
// scale.

const ALIKE: u32 = 1u;

var<workgroup> high_of: array<vec4<u32>, WG_X + WG_X / 8u>;
var<workgroup> rest_of: array<vec4<u32>, WG_X + WG_X / 8u>;

// One gap in eight: lanes that read steps apart meet different banks.
fn place(i: u32) -> u32 {
    return i + i / 8u;
}

fn most_of(own: u32) -> u32 {
    return own;
}

fn share_unit(at: Place, i: u32, own: Unit) {
    if (i > 0u) {
        workgroupBarrier();
    }
    high_of[place(at.lane)] = own.high;
    rest_of[place(at.lane)] = own.rest;
    workgroupBarrier();
}

fn unit_of_step(slot: u32, j: u32) -> Unit {
    return Unit(high_of[place(slot + j)], rest_of[place(slot + j)]);
}
