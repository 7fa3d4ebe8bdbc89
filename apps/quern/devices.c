/* devices.c - `quern devices`: the adapters, what they can do, and which kernels they would use. */
#include "commands.h"
#include "common.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const needs[] = {"baseline", "f16", "subgroups"};

typedef struct device_list {
    qn_device_info *infos;
    size_t n;
    size_t chosen;         /* what a command without --device takes; n when that is not known */
    qn_route_info *routes; /* of the device being shown */
    size_t n_routes;
} device_list;

static bool contains(const char *text, const char *part)
{
    for (; *text; text++) {
        size_t i = 0;
        while (part[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) i++;
        if (!part[i]) return true;
    }
    return !part[0];
}

/* Whether --device (a number or a part of the name; NULL: all) means device i. */
static bool wanted(const char *device, size_t i, const qn_device_info *info)
{
    if (!device) return true;
    char *end;
    unsigned long n = strtoul(device, &end, 10);
    if (*device && *end == '\0') return n == i;
    return contains(info->name, device);
}

/* ---- the list -------------------------------------------------------------------------------- */

static qn_status read_devices(const qn_cli_engine *e, device_list *list)
{
    QN_CLI_TRY(qn_devices(NULL, 0, &list->n));
    size_t capacity = list->n;
    list->infos = qn_cli_alloc(capacity, sizeof *list->infos);
    QN_CLI_TRY(qn_devices(list->infos, capacity, &list->n));
    if (list->n > capacity) list->n = capacity;
    if (list->n == 0)
        return qn_cli_fail(QN_ERR_GPU,
                           "no device found: install a Vulkan driver (for machines without a GPU the package "
                           "mesa-vulkan-drivers)");
    list->chosen = list->n;
    qn_engine *engine;
    const qn_engine_options options = {.baseline = e->baseline};
    if (qn_cli_open_device(&options, &engine).code == QN_OK) {
        for (size_t i = list->n; i-- > 0;)
            if (strcmp(list->infos[i].name, qn_engine_device(engine)->name) == 0) list->chosen = i;
        qn_engine_close(engine);
    }
    return qn_cli_ok();
}

/* Opens device i: its kernels with what their test found, and what it grants. One that cannot be opened is shown as it
 * is listed, unless what it grants the baseline was asked for. */
static qn_status read_routes(const qn_cli_engine *e, bool self_test, size_t i, device_list *list)
{
    char number[24];
    snprintf(number, sizeof number, "%zu", i);
    qn_cli_engine one = *e;
    one.device = number;
    list->n_routes = qn_routes(&list->infos[i], NULL, 0);
    list->routes = qn_cli_resize(list->routes, list->n_routes, sizeof *list->routes);
    qn_routes(&list->infos[i], list->routes, list->n_routes);
    qn_engine *engine;
    qn_status s = qn_cli_open_engine(&one, &engine);
    if (s.code != QN_OK) return e->baseline || self_test ? qn_cli_in(s, "device %zu", i) : qn_cli_ok();
#ifndef QN_NO_BLOCKING
    if (self_test) s = qn_engine_self_test(engine);
#else
    if (self_test) s = qn_cli_fail(QN_ERR_UNSUPPORTED, "this build has no blocking calls to test kernels with");
#endif
    qn_engine_routes(engine, list->routes, list->n_routes);
    if (e->baseline) list->infos[i] = *qn_engine_device(engine);
    qn_engine_close(engine);
    return s;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* plan() may choose it there. */
static bool uses(const qn_route_info *route)
{
    return route->usable && route->preferred && !route->wrong;
}

static json_t *routes_json(const qn_route_info *routes, size_t n, const char *need)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        if (strcmp(routes[i].needs, need) == 0 && uses(&routes[i]))
            json_array_append_new(list, json_string(routes[i].name));
    return list;
}

/* Every row, also those that are not used here. */
static json_t *rows_json(const qn_route_info *routes, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "name", json_string(routes[i].name));
        json_object_set_new(o, "needs", json_string(routes[i].needs));
        json_object_set_new(o, "inexact", json_boolean(routes[i].inexact));
        json_object_set_new(o, "usable", json_boolean(routes[i].usable));
        json_object_set_new(o, "used", json_boolean(uses(&routes[i])));
        json_object_set_new(o, "test",
                            routes[i].tested ? json_string(routes[i].wrong ? "wrong" : "right") : json_null());
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *limits_json(const qn_device_info *d)
{
    json_t *o = json_object(), *size = json_array();
    json_object_set_new(o, "max_buffer_bytes", qn_cli_json_u64(d->max_buffer_bytes));
    json_object_set_new(o, "max_binding_bytes", qn_cli_json_u64(d->max_binding_bytes));
    json_object_set_new(o, "max_storage_buffers", qn_cli_json_u64(d->max_storage_buffers));
    json_object_set_new(o, "max_workgroup_bytes", qn_cli_json_u64(d->max_workgroup_bytes));
    json_object_set_new(o, "max_workgroup_invocations", qn_cli_json_u64(d->max_workgroup_invocations));
    for (int i = 0; i < 3; i++) json_array_append_new(size, qn_cli_json_u64(d->max_workgroup_size[i]));
    json_object_set_new(o, "max_workgroup_size", size);
    json_object_set_new(o, "max_grid", qn_cli_json_u64(d->max_grid));
    return o;
}

static json_t *features_json(const qn_device_info *d)
{
    json_t *o = json_object();
    json_object_set_new(o, "f16", json_boolean(d->f16));
    json_object_set_new(o, "subgroups", json_boolean(d->subgroups));
    json_object_set_new(o, "subgroup_min", qn_cli_json_u64(d->subgroup_min));
    json_object_set_new(o, "subgroup_max", qn_cli_json_u64(d->subgroup_max));
    json_object_set_new(o, "timestamps", json_boolean(d->timestamps));
    json_object_set_new(o, "timestamps_in_pass", json_boolean(d->timestamps_in_pass));
    return o;
}

static json_t *device_json(const device_list *list, size_t i, const qn_route_info *routes, size_t n_routes)
{
    const qn_device_info *d = &list->infos[i];
    json_t *o = json_object(), *groups = json_object();
    json_object_set_new(o, "index", qn_cli_json_u64(i));
    json_object_set_new(o, "name", qn_cli_json_text(d->name, strlen(d->name)));
    json_object_set_new(o, "vendor", qn_cli_json_text(d->vendor, strlen(d->vendor)));
    json_object_set_new(o, "driver", qn_cli_json_text(d->driver, strlen(d->driver)));
    json_object_set_new(o, "backend", json_string(d->backend));
    json_object_set_new(o, "type", json_string(d->type_name));
    json_object_set_new(o, "default", json_boolean(i == list->chosen));
    json_object_set_new(o, "baseline", json_boolean(d->baseline));
    json_object_set_new(o, "features", features_json(d));
    json_object_set_new(o, "limits", limits_json(d));
    for (size_t k = 0; k < 3; k++) json_object_set_new(groups, needs[k], routes_json(routes, n_routes, needs[k]));
    json_object_set_new(o, "routes", groups);
    json_object_set_new(o, "kernels", rows_json(routes, n_routes));
    return o;
}

/* ---- text ------------------------------------------------------------------------------------ */

enum { WIDTH = 100, INDENT = 16 };

typedef enum shown { USED, UNUSED, WRONG } shown;

/* "  title      a b c", folded at WIDTH. */
static void print_routes(const char *title, const qn_route_info *routes, size_t n, const char *need, shown which)
{
    int column = printf("    %-*s", INDENT - 4, title);
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        shown is = routes[i].wrong ? WRONG : uses(&routes[i]) ? USED : UNUSED;
        if (is != which || (need && strcmp(routes[i].needs, need) != 0)) continue;
        if (any && column + (int)strlen(routes[i].name) + 1 > WIDTH) {
            putchar('\n');
            column = printf("%*s", INDENT, "");
        }
        column += printf("%s ", routes[i].name);
        any = true;
    }
    printf("%s\n", any ? "" : "-");
}

static void print_device(const device_list *list, size_t i, const qn_route_info *routes, size_t n_routes)
{
    const qn_device_info *d = &list->infos[i];
    char buffer[32], binding[32], workgroup[32];
    printf("%zu: %s%s\n", i, d->name, i == list->chosen ? " (default)" : "");
    printf("  backend       %s, %s%s\n", d->backend, d->type_name, d->baseline ? ", as baseline" : "");
    printf("  driver        %s\n", d->driver[0] ? d->driver : "-");
    printf("  features      %s%s%s%s%s\n", d->f16 ? "f16 " : "", d->subgroups ? "subgroups " : "",
           d->timestamps ? "timestamps " : "", d->timestamps_in_pass ? "timestamps-in-pass" : "",
           d->f16 || d->subgroups || d->timestamps ? "" : "-");
    if (d->subgroups && d->subgroup_max)
        printf("  subgroups     %" PRIu32 " to %" PRIu32 " invocations\n", d->subgroup_min, d->subgroup_max);
    printf("  limits        buffer %s, binding %s, %" PRIu32 " storage buffers, workgroup %s and %" PRIu32
           " invocations\n                (%" PRIu32 " x %" PRIu32 " x %" PRIu32 "), grid %" PRIu32 "\n",
           qn_cli_bytes(d->max_buffer_bytes, buffer), qn_cli_bytes(d->max_binding_bytes, binding),
           d->max_storage_buffers, qn_cli_bytes(d->max_workgroup_bytes, workgroup), d->max_workgroup_invocations,
           d->max_workgroup_size[0], d->max_workgroup_size[1], d->max_workgroup_size[2], d->max_grid);
    printf("  kernels used\n");
    for (size_t k = 0; k < 3; k++) print_routes(needs[k], routes, n_routes, needs[k], USED);
    printf("  not used (--route forces one)\n");
    print_routes("", routes, n_routes, NULL, UNUSED);
    size_t n_tested = 0, n_wrong = 0;
    for (size_t k = 0; k < n_routes; k++) {
        n_tested += routes[k].tested;
        n_wrong += routes[k].wrong;
    }
    printf("  self-test     %zu kernels tried, %zu of them wrong on this device%s\n", n_tested, n_wrong,
           n_wrong ? " and not used:" : "");
    if (n_wrong) print_routes("", routes, n_routes, NULL, WRONG);
}

int qn_cli_devices(int argc, char **argv)
{
    bool json = false, self_test = false;
    qn_cli_engine engine = {.device = NULL};
    const qn_cli_option own[] = {
        {.name = "device",
         .letter = 'd',
         .kind = QN_CLI_TEXT,
         .argument = "N|NAME",
         .target = &engine.device,
         .help = "show only this one (number or part of the name)"},
        {.name = "baseline",
         .kind = QN_CLI_FLAG,
         .target = &engine.baseline,
         .help = "as they are with core limits and no optional feature"},
        {.name = "self-test",
         .kind = QN_CLI_FLAG,
         .target = &self_test,
         .help = "try every kernel on the device now, also those tried before"},
        {.name = "no-cache",
         .kind = QN_CLI_FLAG,
         .target = &engine.no_cache,
         .help = "neither use nor keep what is known of the devices"},
        {.name = "json", .kind = QN_CLI_FLAG, .target = &json, .help = "print JSON"},
        {.name = NULL},
    };
    const qn_cli_usage usage = {
        .command = "devices",
        .synopsis = "[--device N|NAME] [--baseline] [--self-test] [--json]",
        .about = "Lists the GPUs (and software adapters) of this machine, their limits and features, and the kernels\n"
                 "that would be used on each, by what they need: nothing (baseline), f16 or subgroups.",
        .tables = {own},
    };
    qn_cli_rest rest;
    int code;
    if (!qn_cli_parse(&usage, argc, argv, &rest, &code)) return code;
    device_list list = {.infos = NULL};
    qn_status s = read_devices(&engine, &list);
    json_t *all = json_array();
    bool any = false;
    for (size_t i = 0; s.code == QN_OK && i < list.n; i++) {
        if (!wanted(engine.device, i, &list.infos[i])) continue;
        any = true;
        s = read_routes(&engine, self_test, i, &list);
        if (s.code == QN_OK && json) json_array_append_new(all, device_json(&list, i, list.routes, list.n_routes));
        if (s.code == QN_OK && !json) print_device(&list, i, list.routes, list.n_routes);
    }
    free(list.routes);
    if (s.code == QN_OK && !any) s = qn_cli_fail(QN_ERR_ARGUMENT, "no device \"%s\" among %zu", engine.device, list.n);
    if (s.code == QN_OK && json)
        qn_cli_print_json(all);
    else
        json_decref(all);
    free(list.infos);
    return qn_cli_exit("devices", s);
}
