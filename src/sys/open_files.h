#pragma once
// The descriptors of other processes, and which of them are one open file description: /proc/PID/fd and
// kcmp(2). An interface with the real one behind it. Nothing is opened, duplicated or held: looking at a file
// keeps no file open.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"

namespace gpcsup::sys {

struct Descriptor {
    pid_t pid = 0;  // or the thread whose table it is in
    int number = -1;
    bool operator==(const Descriptor&) const = default;
};

struct FileIdentity {  // of the file behind a description: two descriptions of one file have the same
    std::uint64_t mount = 0;
    std::uint64_t inode = 0;
    bool operator==(const FileIdentity&) const = default;
};

enum class FileOrder {
    same,    // one description
    before,  // an order of the kernel's own, the same in every comparison until it boots again
    after,
    first_gone,  // that descriptor has been closed, or may not be looked at
    second_gone,
};

class OpenFiles {
  public:
    virtual ~OpenFiles() = default;
    virtual base::Result<std::vector<int>> descriptors(pid_t task) = 0;  // ESRCH: gone; EACCES: may not
    virtual FileOrder compare(const Descriptor& first, const Descriptor& second) = 0;
    enum class Tables { shared, apart };
    virtual Tables compare_tables(pid_t first, pid_t second) = 0;
    // As /proc/PID/fdinfo has it: a stat(2) of the file could wait for its file system.
    virtual std::optional<FileIdentity> identity(const Descriptor& descriptor) = 0;
};

class RealOpenFiles final : public OpenFiles {
  public:
    base::Result<std::vector<int>> descriptors(pid_t task) override;
    FileOrder compare(const Descriptor& first, const Descriptor& second) override;
    Tables compare_tables(pid_t first, pid_t second) override;
    std::optional<FileIdentity> identity(const Descriptor& descriptor) override;
};

}  // namespace gpcsup::sys
