/* pte_container.h - what ExecuTorch's two kinds of files share: a flatbuffer with a header inserted after its
 * identifier, then segments of data, some of which have names.
 *
 *   .pte, a program: identifier "ET12", header "eh00" (files without segments may lack it)
 *   .ptd, data of a program in a file of its own: identifier "FT01", header "FH01"
 *
 * Formats: schema/program.fbs, schema/extended_header.h, extension/flat_tensor/serialize/flat_tensor.fbs and
 * flat_tensor_header.h of github.com/pytorch/executorch. */
#ifndef QN_FORMAT_PTE_CONTAINER_H
#define QN_FORMAT_PTE_CONTAINER_H

#include "base/memory.h"
#include "format/flatbuffer.h"

/* A file in memory, usually mapped. The caller keeps it as it is until what was opened from it is closed. */
typedef struct qn_pte_file {
    const char *name; /* for messages */
    qn_bytes bytes;
} qn_pte_file;

/* Data with a name. */
typedef struct qn_pte_blob {
    const char *key;
    uint32_t segment;
    qn_bytes bytes;
    bool is_tensor; /* .ptd files may say what it is: */
    int8_t scalar_type;
    qn_fb_vector sizes;     /* i32 */
    qn_fb_vector dim_order; /* u8  */
} qn_pte_blob;

typedef struct qn_pte_container {
    qn_bytes file;
    qn_bytes flatbuffer;        /* from byte 0 on, header included         */
    uint32_t header_length;     /* 0: no header, and no segments           */
    uint64_t segment_base;      /* byte of the file                        */
    uint64_t segment_data_size; /* 0: the header does not say              */
    uint32_t n_segments;
    qn_bytes *segments; /* all inside the file */
    uint32_t n_blobs;
    qn_pte_blob *blobs;
} qn_pte_container;

/* Reads the header of a program. QN_ERR_FORMAT when it contradicts the file's size. */
qn_status qn_pte_program_header(qn_bytes file, qn_pte_container *c);

/* Reads the tables of segments and of named data out of the file's flatbuffer. */
qn_status qn_pte_container_read(const qn_allocator *a, qn_fb *fb, const qn_fb_table *root, uint16_t segments_slot,
                                uint16_t named_slot, qn_pte_container *c);

/* Opens a .ptd file. Errors: QN_ERR_FORMAT (damaged, or no such file), QN_ERR_MEMORY. */
qn_status qn_ptd_open(const qn_allocator *a, qn_bytes file, qn_pte_container *c);

void qn_pte_container_close(const qn_allocator *a, qn_pte_container *c);

#endif
