#pragma once
// The helper programs' names, and where they are found: beside the running program (/proc/self/exe's
// directory), else in the libexec directory it was built for. The same rule for gpc-init, gpcsupd and gpcsup.

namespace gpcsup::wire {

inline constexpr char supervisor_program[] = "gpcsupd";
inline constexpr char enforce_program[] = "gpc-enforce";
inline constexpr char log_program[] = "gpc-logd";
inline constexpr char exec_program[] = "gpc-exec";
inline constexpr char names_program[] = "gpc-names";
inline constexpr char reader_program[] = "gpc-reader";
inline constexpr char graft_program[] = "gpc-graft";
inline constexpr char init_program[] = "gpc-init";

}  // namespace gpcsup::wire
