#include "sys/open_files.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

namespace gpcsup::sys {
namespace {

std::string folder_of(pid_t task) {
    return "/proc/" + std::to_string(task) + "/fd";
}

bool is_open(const Descriptor& descriptor) {
    return syscall(SYS_kcmp, descriptor.pid, descriptor.pid, KCMP_FILE, descriptor.number,
                   descriptor.number) == 0;
}

std::uint64_t field(std::string_view lines, std::string_view name) {
    std::size_t at = lines.find(name);
    if (at == std::string_view::npos) {
        return 0;
    }
    at = lines.find_first_not_of("\t ", at + name.size());
    std::uint64_t value = 0;
    if (at != std::string_view::npos) {
        std::from_chars(lines.data() + at, lines.data() + lines.size(), value);
    }
    return value;
}

struct CloseFolder {
    void operator()(DIR* folder) const { closedir(folder); }
};

}  // namespace

base::Result<std::vector<int>> RealOpenFiles::descriptors(pid_t task) {
    const std::string path = folder_of(task);
    const std::unique_ptr<DIR, CloseFolder> folder(opendir(path.c_str()));
    if (!folder) {
        return base::fail(errno == ENOENT ? ESRCH : errno, "list", path);
    }
    std::vector<int> numbers;
    errno = 0;
    while (const dirent* entry = readdir(folder.get())) {
        int number = -1;
        const char* end = entry->d_name + std::strlen(entry->d_name);
        if (std::from_chars(entry->d_name, end, number).ptr == end && number >= 0) {
            numbers.push_back(number);
        }
        errno = 0;
    }
    if (errno != 0) {
        return base::fail(errno == ENOENT ? ESRCH : errno, "list", path);
    }
    return numbers;
}

FileOrder RealOpenFiles::compare(const Descriptor& first, const Descriptor& second) {
    switch (syscall(SYS_kcmp, first.pid, second.pid, KCMP_FILE, first.number, second.number)) {
        case 0:
            return FileOrder::same;
        case 1:
            return FileOrder::before;
        case 2:
            return FileOrder::after;
        default:
            if (errno == EPERM || errno == ENOSYS) {
                return FileOrder::before;  // may not, or cannot be told apart: counted as two
            }
            return is_open(first) ? FileOrder::second_gone : FileOrder::first_gone;
    }
}

OpenFiles::Tables RealOpenFiles::compare_tables(pid_t first, pid_t second) {
    return syscall(SYS_kcmp, first, second, KCMP_FILES, 0, 0) == 0 ? Tables::shared : Tables::apart;
}

std::optional<FileIdentity> RealOpenFiles::identity(const Descriptor& descriptor) {
    const std::string path =
        "/proc/" + std::to_string(descriptor.pid) + "/fdinfo/" + std::to_string(descriptor.number);
    const base::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 512> text;  // the three lines that every kind of file has come first
    const ssize_t got = file ? ::read(file.get(), text.data(), text.size()) : -1;
    if (got <= 0) {
        return std::nullopt;
    }
    const std::string_view lines(text.data(), static_cast<std::size_t>(got));
    return FileIdentity{field(lines, "mnt_id:"), field(lines, "ino:")};
}

}  // namespace gpcsup::sys
