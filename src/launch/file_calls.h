#pragma once
// Every system call of Linux, classified once: does it make an open file description, or not? A unit test
// compares the rows with the kernel's own list, so that a call nobody has thought about fails it; at run
// time, calls behind the last one known here are refused where files are limited. Data and nothing else: what
// is done about a call is in trap_table.h.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace gpcsup::launch {

enum class Makes : std::uint8_t {
    none,         // at most another descriptor of a description that is there
    one,          // an open file description
    two,          // pipes and pairs
    by_argument,  // only with certain arguments: the conditions are in the trap table
    refused,      // makes files that nobody can count: answered inside the filter
};

struct FileCall {
    std::string_view name;
    Makes makes;
    int native;  // x86_64 number, or no_call
    int compat;  // i386 number, or no_call
};

inline constexpr int last_known_call = 469;  // of both ABIs: they share their numbers from 424 on

std::span<const FileCall> file_calls();                   // all that are not `none`
std::span<const std::string_view> calls_without_files();  // those that are
std::optional<Makes> what_makes(std::string_view call);   // empty: a call that was never looked at

}  // namespace gpcsup::launch
