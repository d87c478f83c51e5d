#include "exec/local_files.h"

#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

namespace gpcsup::exec {
namespace {

char line_buffer[262144];  // one file is read at a time

// Reads one line at a time; a line longer than the buffer is skipped as a whole (a group of thousands of
// members fits).
class LineReader {
  public:
    explicit LineReader(const char* path) : descriptor_(open(path, O_RDONLY | O_CLOEXEC)) {}
    ~LineReader() {
        if (descriptor_ >= 0) {
            close(descriptor_);
        }
    }
    LineReader(const LineReader&) = delete;
    LineReader& operator=(const LineReader&) = delete;

    char* next() {
        for (;;) {
            char* end = static_cast<char*>(std::memchr(line_buffer + begin_, '\n', filled_ - begin_));
            if (end == nullptr && ended_ && begin_ < filled_) {
                end = line_buffer +
                      filled_;  // the last line without a newline; the buffer keeps one byte for this
            }
            if (end != nullptr) {
                char* line = line_buffer + begin_;
                *end = '\0';
                begin_ = static_cast<std::size_t>(end - line_buffer) + 1;
                if (begin_ > filled_) {
                    begin_ = filled_;
                }
                if (skipping_) {
                    skipping_ = false;
                    continue;
                }
                return line;
            }
            if (ended_ || !refill()) {
                return nullptr;
            }
        }
    }

  private:
    bool refill() {
        if (descriptor_ < 0) {
            return false;
        }
        if (begin_ > 0) {
            std::memmove(line_buffer, line_buffer + begin_, filled_ - begin_);
            filled_ -= begin_;
            begin_ = 0;
        } else if (filled_ == sizeof(line_buffer) - 1) {
            filled_ = 0;
            skipping_ = true;
        }
        const ssize_t got = read(descriptor_, line_buffer + filled_, sizeof(line_buffer) - 1 - filled_);
        if (got <= 0) {
            ended_ = true;
        } else {
            filled_ += static_cast<std::size_t>(got);
        }
        return true;
    }

    int descriptor_;
    std::size_t begin_ = 0;
    std::size_t filled_ = 0;
    bool ended_ = false;
    bool skipping_ = false;
};

// Cuts the next field off a line; null when there is none.
char* field(char*& rest) {
    if (rest == nullptr) {
        return nullptr;
    }
    char* start = rest;
    char* colon = std::strchr(rest, ':');
    if (colon == nullptr) {
        rest = nullptr;
    } else {
        *colon = '\0';
        rest = colon + 1;
    }
    return start;
}

bool number(const char* text, std::uint32_t& value) {
    if (text == nullptr || *text < '0' || *text > '9') {
        return false;
    }
    char* end = nullptr;
    const unsigned long parsed = std::strtoul(text, &end, 10);
    value = static_cast<std::uint32_t>(parsed);
    return *end == '\0' && parsed < wire::no_id;
}

void copy(char (&to)[max_text], const char* from) {
    const std::size_t length = from == nullptr ? 0 : strnlen(from, max_text - 1);
    std::memcpy(to, from == nullptr ? "" : from, length);
    to[length] = '\0';
}

bool lists(char* members, const char* name) {
    for (char* member = strtok(members, ","); member != nullptr; member = strtok(nullptr, ",")) {
        if (std::strcmp(member, name) == 0) {
            return true;
        }
    }
    return false;
}

}  // namespace

Found find_local_user(const char* name, std::uint32_t uid, Account& account) {
    LineReader passwd("/etc/passwd");
    while (char* line = passwd.next()) {
        char* rest = line;
        const char* entry_name = field(rest);
        field(rest);
        std::uint32_t entry_uid = 0;
        std::uint32_t entry_gid = 0;
        if (!number(field(rest), entry_uid) || !number(field(rest), entry_gid)) {
            continue;
        }
        if (name != nullptr ? std::strcmp(entry_name, name) != 0 : entry_uid != uid) {
            continue;
        }
        field(rest);
        account.uid = entry_uid;
        account.gid = entry_gid;
        copy(account.name, entry_name);
        copy(account.home, field(rest));
        copy(account.shell, field(rest));
        return Found::yes;
    }
    return Found::no;
}

Found find_local_group(const char* name, std::uint32_t& gid) {
    LineReader groups("/etc/group");
    while (char* line = groups.next()) {
        char* rest = line;
        if (std::strcmp(field(rest), name) != 0) {
            continue;
        }
        field(rest);
        if (number(field(rest), gid)) {
            return Found::yes;
        }
    }
    return Found::no;
}

void collect_local_groups(Account& account) {
    account.groups[account.group_count++] = account.gid;
    LineReader groups("/etc/group");
    while (char* line = groups.next()) {
        char* rest = line;
        field(rest);
        field(rest);
        std::uint32_t gid = 0;
        if (!number(field(rest), gid) || gid == account.gid || rest == nullptr) {
            continue;
        }
        if (lists(rest, account.name) && account.group_count < max_groups) {
            account.groups[account.group_count++] = gid;
        }
    }
}

}  // namespace gpcsup::exec
