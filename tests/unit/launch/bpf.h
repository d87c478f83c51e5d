#pragma once
// A classic BPF machine of our own: runs a seccomp program over a made-up system call, so that tests see what
// the kernel would answer without asking it. Only what seccomp allows; everything else throws.

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <span>

namespace gpcsup::test {

std::uint32_t run_filter(std::span<const sock_filter> program, const seccomp_data& call);

}  // namespace gpcsup::test
