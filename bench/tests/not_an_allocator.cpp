// Exports something harmless, and no malloc.
extern "C" int hak_bench_not_an_allocator() { return 0; }
