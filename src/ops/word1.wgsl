// word1.wgsl - kernels that move 32-bit words whatever they mean, one in an item (row constant ITEM = 1).
alias Item = u32;
