/* keep_loaded.c - preloaded by the sanitizer build's tests: libraries are never unloaded.
 * The Vulkan drivers are dlclose'd before LeakSanitizer looks; it could then neither name nor suppress what they
 * leave behind (tests/lsan.supp). */
int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
