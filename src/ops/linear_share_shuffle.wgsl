// linear_share_shuffle.wgsl - the lanes of a step exchange their units of x by shuffles, and keep them. No lane waits for
// those of other steps, and the units of a run share a scale, so that their products are summed as integers; but it
// takes registers.

const ALIKE: u32 = RUN;

var<private> units: array<Unit, QUADS>;

fn most_of(own: u32) -> u32 {
    var most = own;
    for (var mask = 1u; mask < ALIKE; mask *= 2u) {
        most = max(most, subgroupShuffleXor(most, mask));
    }
    return most;
}

fn share_unit(at: Place, i: u32, own: Unit) {
    for (var j = 0u; j < QUADS; j++) {
        units[j] = Unit(subgroupShuffle(own.high, step_member + j), subgroupShuffle(own.rest, step_member + j));
    }
}

fn unit_of_step(slot: u32, j: u32) -> Unit {
    return units[j];
}
