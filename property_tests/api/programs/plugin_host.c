/* A C program that opens a C++ plugin: blocks cross the border in both directions. */
#include <dlfcn.h>

#include "expect.h"

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  for (int i = 0; i < 20; ++i) {
    void* const plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    EXPECT(plugin);
    void* (*allocate)(size_t) = (void* (*)(size_t))dlsym(plugin, "plugin_allocate");
    void (*release)(void*) = (void (*)(void*))dlsym(plugin, "plugin_free");
    char* (*text)(int) = (char* (*)(int))dlsym(plugin, "plugin_text");
    int* (*numbers)(int) = (int* (*)(int))dlsym(plugin, "plugin_new");
    void (*delete_numbers)(int*) = (void (*)(int*))dlsym(plugin, "plugin_delete");
    EXPECT(allocate && release && text && numbers && delete_numbers);
    free(allocate(100));
    release(malloc(100));
    free(text(5000));
    delete_numbers(numbers(300));
    char* const kept = text(50);
    EXPECT(dlclose(plugin) == 0);
    EXPECT(kept[49] == 'p');
    free(kept);
  }
  return 0;
}
