// word4.wgsl - kernels that move 32-bit words whatever they mean, four in an item (row constant ITEM = 4).
alias Item = vec4<u32>;
