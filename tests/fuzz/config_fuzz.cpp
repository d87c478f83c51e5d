// For libFuzzer: clang++ -fsanitize=fuzzer,address. Its corpus is corpus/config; unit_config runs that
// without a fuzzer.

#include "config_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    gpcsup::config::fuzz::feed({reinterpret_cast<const char*>(data), size});
    return 0;
}
