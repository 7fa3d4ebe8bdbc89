#include "text/utf8.h"

#include <string.h>

/* Length of the sequence that a lead byte begins (0: none does) and the range of its second byte; the ranges
 * exclude overlong forms, surrogates and code points past U+10FFFF. */
static int lead(uint8_t b, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (b < 0x80) return 1;
    if (b < 0xC2) return 0;
    if (b < 0xE0) return 2;
    if (b < 0xF0) {
        if (b == 0xE0) *low = 0xA0;
        if (b == 0xED) *high = 0x9F;
        return 3;
    }
    if (b == 0xF0) *low = 0x90;
    if (b == 0xF4) *high = 0x8F;
    return b < 0xF5 ? 4 : 0;
}

int qn_utf8_read(const char *s, size_t n, uint32_t *code)
{
    uint8_t b = (uint8_t)s[0], low, high;
    int length = lead(b, &low, &high);
    if (length == 0) return -1;
    uint32_t c = length == 1 ? b : b & (0x7Fu >> length);
    for (int i = 1; i < length; i++) {
        if ((size_t)i == n) return 0;
        b = (uint8_t)s[i];
        if (b < low || b > high) return -i;
        c = c << 6 | (b & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    if (code) *code = c;
    return length;
}

size_t qn_utf8_valid_prefix(const char *s, size_t n)
{
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    size_t at = 0;
    while (at < n) {
        uint64_t word;
        while (n - at >= sizeof word) { /* eight ASCII bytes at a time */
            memcpy(&word, s + at, sizeof word);
            if (word & high_bits) break;
            at += sizeof word;
        }
        if (at == n) break;
        int length = qn_utf8_read(s + at, n - at, NULL);
        if (length <= 0) break;
        at += (size_t)length;
    }
    return at;
}

static size_t put_replacement(char *out)
{
    memcpy(out, "\xEF\xBF\xBD", 3); /* U+FFFD */
    return 3;
}

/* Feeds single bytes to the held sequence until it is whole or broken. Returns the bytes taken. */
static size_t finish_held(qn_utf8_hold *hold, const char *bytes, size_t n_bytes, char *out, size_t *written)
{
    size_t taken = 0;
    while (hold->n > 0 && hold->n < sizeof hold->bytes && taken < n_bytes) {
        hold->bytes[hold->n] = bytes[taken];
        int length = qn_utf8_read(hold->bytes, hold->n + 1, NULL);
        if (length < 0) { /* the held part is broken; the new byte is read again on its own */
            *written += put_replacement(out + *written);
            hold->n = 0;
            break;
        }
        taken++;
        hold->n++;
        if (length > 0) {
            memcpy(out + *written, hold->bytes, (size_t)length);
            *written += (size_t)length;
            hold->n = 0;
        }
    }
    return taken;
}

size_t qn_utf8_push(qn_utf8_hold *hold, const char *bytes, size_t n_bytes, char *out)
{
    size_t written = 0;
    if (!bytes) {
        if (hold->n > 0) written = put_replacement(out);
        hold->n = 0;
        return written;
    }
    size_t at = finish_held(hold, bytes, n_bytes, out, &written);
    while (at < n_bytes) {
        size_t whole = qn_utf8_valid_prefix(bytes + at, n_bytes - at);
        memcpy(out + written, bytes + at, whole);
        written += whole;
        at += whole;
        if (at == n_bytes) break;
        int length = qn_utf8_read(bytes + at, n_bytes - at, NULL);
        if (length == 0) {
            hold->n = (uint32_t)(n_bytes - at);
            memcpy(hold->bytes, bytes + at, hold->n);
            break;
        }
        written += put_replacement(out + written);
        at += (size_t)-length;
    }
    return written;
}

bool qn_is_white_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
