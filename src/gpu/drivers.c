/* drivers.c - drivers stay loaded.
 *
 * The Vulkan loader unloads a driver with the last instance and loads it anew with the next. NVIDIA's needs
 * thread-local memory out of the small reserve that glibc has for libraries loaded late, which does not get it back:
 * after some 15 to 30 instances in a process no driver could be loaded any more ("cannot allocate memory in static TLS
 * block" with VK_LOADER_DEBUG=error; vkCreateInstance, vkEnumeratePhysicalDevices and vkDestroyInstance in a loop do as
 * much). */
#ifdef __linux__
#define _GNU_SOURCE /* dl_iterate_phdr */
#endif

#include "gpu/drivers.h"

#include <stdio.h>

#ifdef __GLIBC__

#include <dlfcn.h>
#include <link.h>

enum { MAX_LIBRARIES = 256, MAX_PATH = 512 };

/* Which of the loaded libraries is looked for, and its path: no library may be opened while they are listed. */
typedef struct search {
    size_t wanted, at;
    char path[MAX_PATH];
} search;

static int look(struct dl_phdr_info *info, size_t size, void *user)
{
    (void)size;
    search *s = user;
    if (s->at++ != s->wanted) return 0;
    snprintf(s->path, sizeof s->path, "%s", info->dlpi_name);
    return 1;
}

/* What a Vulkan driver exports for the loader. */
static int is_driver(void *library)
{
    return dlsym(library, "vk_icdGetInstanceProcAddr") || dlsym(library, "vk_icdNegotiateLoaderICDInterfaceVersion");
}

void qn_drivers_keep(void)
{
    for (size_t i = 0; i < MAX_LIBRARIES; i++) {
        search s = {.wanted = i};
        if (dl_iterate_phdr(look, &s) == 0) return;
        void *library = s.path[0] ? dlopen(s.path, RTLD_LAZY | RTLD_NOLOAD) : NULL;
        if (!library) continue;
        void *kept = is_driver(library) ? dlopen(s.path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) : NULL;
        if (kept) dlclose(kept);
        dlclose(library);
    }
}

#else

void qn_drivers_keep(void)
{
}

#endif
