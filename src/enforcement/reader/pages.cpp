#include "enforcement/reader/pages.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "enforcement/reader/node_map.h"
#include "enforcement/reader/process.h"

namespace gpcsup::enforcement {
namespace {

// What one move_pages(2) is given: 2 MiB, at a multiple of that, since a huge page moves as a whole. The
// process's address space is locked for no longer than that.
constexpr std::size_t batch_size = 512;
constexpr int tries = 3;  // a page that somebody just holds is free a moment later

// With CAP_SYS_NICE also pages that other processes have mapped, too, as the kernel's cpusets did.
int move_flags() {
    static const int flags =
        syscall(SYS_move_pages, getpid(), 0UL, nullptr, nullptr, nullptr, MPOL_MF_MOVE_ALL) == 0
            ? MPOL_MF_MOVE_ALL
            : MPOL_MF_MOVE;
    return flags;
}

struct Batch {
    std::size_t count = 0;
    void* pages[batch_size];
    int nodes[batch_size];   // where each belongs
    int status[batch_size];  // what the kernel says of it

    void add(std::uint64_t address) { pages[count++] = std::bit_cast<void*>(address); }
    // 0 or an errno
    int ask(pid_t pid) {
        return syscall(SYS_move_pages, pid, count, pages, nullptr, status, 0) < 0 ? errno : 0;
    }
    int move(pid_t pid) {
        std::fill_n(status, count, -EAGAIN);  // the kernel leaves it where it stopped at another
        const long result = syscall(SYS_move_pages, pid, count, pages, nodes, status, move_flags());
        return result >= 0 || errno == ENOENT ? 0 : errno;
    }
    void keep(std::size_t from, std::size_t to) {
        pages[to] = pages[from];
        nodes[to] = nodes[from];
    }
};

class Slice {
  public:
    Slice(const wire::MoveRequest& request, wire::MoveAnswer& answer)
        : request_(request), answer_(answer), map_(request.from, request.to) {}

    // Those of the batch that are not where they belong; afterwards it is empty.
    int move(Batch& batch) {
        int error = batch.count == 0 ? 0 : batch.ask(request_.pid);
        if (error != 0) {
            return error;
        }
        std::size_t wrong = 0;
        for (std::size_t at = 0; at < batch.count; ++at) {
            const int target = map_.target(batch.status[at]);  // negative: there is no page (any more)
            if (target != batch.status[at]) {
                batch.nodes[at] = target;
                batch.keep(at, wrong++);
            }
        }
        batch.count = wrong;
        for (int round = 0; round < tries && batch.count > 0 && error == 0; ++round) {
            error = move_once(batch);
        }
        answer_.left += batch.count;
        batch.count = 0;
        return error;
    }

  private:
    // Leaves in the batch what is to be tried again. What move_pages says of pages behind one that could not
    // be moved depends on the kernel: so it is asked where they are.
    int move_once(Batch& batch) {
        if (const int error = batch.move(request_.pid); error != 0) {
            return error;
        }
        bool shared[batch_size];
        for (std::size_t at = 0; at < batch.count; ++at) {
            shared[at] = batch.status[at] == -EACCES;
        }
        if (const int error = batch.ask(request_.pid); error != 0) {
            return error;
        }
        std::size_t again = 0;
        for (std::size_t at = 0; at < batch.count; ++at) {
            if (batch.status[at] == batch.nodes[at]) {
                ++answer_.moved;
            } else if (batch.status[at] >= 0 && shared[at]) {
                ++answer_.shared;
            } else if (batch.status[at] >= 0) {
                batch.keep(at, again++);
            }
        }
        batch.count = again;
        return 0;
    }

    const wire::MoveRequest& request_;
    wire::MoveAnswer& answer_;
    NodeMap map_;
};

class Descriptor {
  public:
    explicit Descriptor(int number) : number_(number) {}
    ~Descriptor() {
        if (number_ >= 0) {
            close(number_);
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const { return number_; }
    [[nodiscard]] int release() {
        const int number = number_;
        number_ = -1;
        return number;
    }

  private:
    int number_;
};

// The ranges of /proc/PID/maps, one after the other.
class Ranges {
  public:
    explicit Ranges(Descriptor& maps) : file_(fdopen(maps.release(), "r")) {}
    ~Ranges() {
        if (file_ != nullptr) {
            (void)std::fclose(file_);
        }
    }
    Ranges(const Ranges&) = delete;
    Ranges& operator=(const Ranges&) = delete;

    struct Range {
        std::uint64_t begin = 0;
        std::uint64_t end = 0;  // 0: there is none any more
    };
    Range next() {
        char line[256];
        while (file_ != nullptr && std::fgets(line, sizeof(line), file_) != nullptr) {
            const bool head = std::exchange(at_begin_, std::strchr(line, '\n') != nullptr);
            char* rest = line;
            const std::uint64_t begin = std::strtoull(line, &rest, 16);
            if (head && *rest == '-') {
                return {begin, std::strtoull(rest + 1, nullptr, 16)};
            }
        }
        return {};
    }

  private:
    std::FILE* file_;
    bool at_begin_ = true;  // of a line: a long name comes in parts
};

// Pages that are there: bit 63 of their words in pagemap, which everybody sees who may look at the process.
void find_pages(int pagemap, std::uint64_t begin, std::uint64_t end, std::uint64_t page_size, Batch& batch) {
    std::uint64_t words[batch_size];
    const std::size_t wanted = (end - begin) / page_size;
    const ssize_t got = pread(pagemap, words, wanted * sizeof(std::uint64_t),
                              static_cast<off_t>(begin / page_size * sizeof(std::uint64_t)));
    for (std::size_t at = 0; got > 0 && at < static_cast<std::size_t>(got) / sizeof(std::uint64_t); ++at) {
        if ((words[at] >> 63) != 0) {
            batch.add(begin + at * page_size);
        }
    }
}

int walk(const wire::MoveRequest& request, wire::MoveAnswer& answer) {
    constexpr std::uint64_t kernel_half = std::uint64_t{1} << 63;
    const ProcDirectory process(request.pid);
    if (!process.is_started_at(request.start_time)) {
        return ESRCH;
    }
    Descriptor maps(process.open_file("maps"));
    const Descriptor pagemap(process.open_file("pagemap"));
    if (maps.get() < 0 || pagemap.get() < 0) {
        return errno == ENOENT ? ESRCH : errno;
    }
    const auto page_size = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    const std::uint64_t batch_bytes = batch_size * page_size;
    Slice slice(request, answer);
    Ranges ranges(maps);
    Batch batch;
    for (auto range = ranges.next(); range.end != 0; range = ranges.next()) {
        std::uint64_t from = std::max(range.begin, request.address);
        while (from < range.end && range.begin < kernel_half) {
            const std::uint64_t to = std::min(range.end, (from / batch_bytes + 1) * batch_bytes);
            find_pages(pagemap.get(), from, to, page_size, batch);
            if (const int error = slice.move(batch); error != 0) {
                return error;
            }
            from = to;
            if (monotonic_ns() >= request.until_ns) {
                answer.address = from;
                return 0;
            }
        }
    }
    answer.address = wire::all_pages;
    return 0;
}

}  // namespace

void move_slice(const wire::MoveRequest& request, wire::MoveAnswer& answer) {
    answer.id = request.id;
    answer.address = request.address;
    answer.error = walk(request, answer);
}

}  // namespace gpcsup::enforcement
