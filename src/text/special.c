#include "text/special.h"

/* Finds or makes the child for a byte in the list that *link begins; children of one node are few. */
static qn_status child_of(qn_specials *s, uint32_t parent, uint8_t byte, uint32_t *child)
{
    qn_special_node *nodes = s->nodes;
    uint32_t first = parent ? nodes[parent].child : s->root[byte];
    for (*child = first; *child; *child = nodes[*child].sibling)
        if (nodes[*child].byte == byte) return qn_ok();
    if (s->n == 0) s->n = 1; /* number 0 means none */
    if (s->n >= UINT32_MAX) return qn_fail(QN_ERR_LIMIT, "too many special tokens");
    QN_TRY(qn_grow(s->a, &s->nodes, &s->capacity, s->n + 1, sizeof *nodes, "special tokens"));
    nodes = s->nodes;
    *child = (uint32_t)s->n++;
    nodes[*child] = (qn_special_node){.sibling = first, .token = -1, .byte = byte};
    if (parent)
        nodes[parent].child = *child;
    else
        s->root[byte] = *child;
    return qn_ok();
}

qn_status qn_specials_add(qn_specials *s, const char *text, size_t n_bytes, int32_t token, bool control)
{
    if (n_bytes == 0 || n_bytes > QN_SPECIAL_MAX_BYTES) return qn_ok();
    uint32_t at = 0;
    for (size_t i = 0; i < n_bytes; i++) QN_TRY(child_of(s, at, (uint8_t)text[i], &at));
    qn_special_node *end = (qn_special_node *)s->nodes + at;
    if (end->token >= 0) return qn_ok();
    end->token = token;
    end->control = control;
    s->any = true;
    if (!control) s->any_user = true;
    return qn_ok();
}

void qn_specials_close(qn_specials *s)
{
    qn_free(s->a, s->nodes);
    *s = (qn_specials){0};
}

int32_t qn_specials_match(const qn_specials *s, const char *text, size_t n_bytes, bool control, size_t *length)
{
    const qn_special_node *nodes = s->nodes;
    int32_t token = -1;
    uint32_t at = n_bytes > 0 ? s->root[(uint8_t)text[0]] : 0;
    for (size_t i = 1; at; i++) {
        if (nodes[at].token >= 0 && (control || !nodes[at].control)) {
            token = nodes[at].token;
            *length = i;
        }
        if (i == n_bytes) break;
        for (at = nodes[at].child; at && nodes[at].byte != (uint8_t)text[i];) at = nodes[at].sibling;
    }
    return token;
}

int32_t qn_specials_find(const qn_specials *s, const char *text, size_t n_bytes, size_t at, bool control, size_t *place,
                         size_t *length)
{
    if (!(control ? s->any : s->any_user)) return -1;
    for (; at < n_bytes; at++) {
        if (!s->root[(uint8_t)text[at]]) continue;
        int32_t token = qn_specials_match(s, text + at, n_bytes - at, control, length);
        if (token < 0) continue;
        *place = at;
        return token;
    }
    return -1;
}
