/* internal.h - what a tokenizer is made of, for the files that read one and the file that runs it. */
#ifndef QN_TEXT_INTERNAL_H
#define QN_TEXT_INTERNAL_H

#include "text/bpe.h"
#include "text/chat.h"
#include "text/normalize.h"
#include "text/special.h"
#include "text/split.h"

/* What is known of a token. */
enum {
    QN_TOKEN_CONTROL = 1,
    QN_TOKEN_USER = 2,
    QN_TOKEN_END = 4,
    QN_TOKEN_LSTRIP = 8,  /* as a special token it swallows the white space before it */
    QN_TOKEN_RSTRIP = 16, /* and behind it                                            */
};

struct qn_tokenizer {
    const qn_allocator *a;
    qn_bpe bpe;
    qn_normalizer normalizer;
    qn_splitter splitter;
    qn_specials specials;            /* cut out of the text as it is          */
    qn_specials normalized_specials; /* cut out of the normalized text        */
    uint8_t *flags;                  /* [n_vocab] QN_TOKEN_...                */
    /* What tokens decode to, where that is not the bytes that encoding looks for; offset NULL: it is. */
    char *decoded;
    uint32_t *decoded_offset; /* [n_vocab + 1] */
    int32_t bos, eos;
    bool adds_bos;
    uint32_t strip_start; /* spaces that decoding a whole text leaves out at its start */
    qn_chat_kind chat;
    char description[64];
};

/* An empty tokenizer without vocabulary; close it whatever happens. */
qn_status qn_tokenizer_new(const qn_allocator *a, qn_tokenizer **tokenizer);

/* Reads a tokenizer.json, and what its companions say, into an empty tokenizer. Only in builds with QN_WITH_JANSSON. */
qn_status qn_tokenizer_read_json(qn_tokenizer *t, const qn_tokenizer_files *files);
/* Reads lines of "base64 rank" into an empty tokenizer. */
qn_status qn_tokenizer_read_tiktoken(qn_tokenizer *t, const char *data, size_t size);

/* ---- shared by the readers ------------------------------------------------------------------- */

/* The byte-level alphabet: printable Latin-1 characters stand for their own byte, the other 68 bytes for U+0100 and
 * up, in order. Source: bytes_to_unicode() of GPT-2's encoder. */
enum { QN_ALPHABET_END = 256 + 68 };

typedef struct qn_alphabet {
    int16_t byte_of[QN_ALPHABET_END]; /* -1: the character stands for no byte */
} qn_alphabet;

void qn_alphabet_make(qn_alphabet *alphabet);
/* Turns text of the alphabet into bytes (never more than text). False when a character stands for no byte. */
bool qn_alphabet_bytes(const qn_alphabet *alphabet, const char *text, size_t n, char *out, size_t *n_out);

/* Files often name one end token only; these are known by their text. */
bool qn_token_ends_by_name(const char *text, size_t n);

/* Text of a file, fit for a message: cut, and without control characters. */
typedef struct qn_shown {
    char text[44];
} qn_shown;
qn_shown qn_show(const char *text, size_t n);

/* The token of one side of a merge, or of both: its id, or -1 for a control token, whose merges are left out (plain
 * text must never become one). QN_ERR_FORMAT when there is no such token. */
qn_status qn_merge_token(const qn_tokenizer *t, const char *bytes, size_t n, int32_t *id);

#endif
