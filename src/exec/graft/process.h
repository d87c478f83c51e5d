#pragma once
// What /proc says of a process and its threads, for the choice. Looks and changes nothing; of a process that
// has gone there is nothing to see.

#include <cstdint>

#include <sys/types.h>

#include "exec/graft/choice.h"

namespace gpcsup::exec {

class Descriptor {  // a descriptor of our own
  public:
    explicit Descriptor(int number = -1) : number_(number) {}
    ~Descriptor();
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
    Descriptor& operator=(Descriptor&& other) noexcept;
    [[nodiscard]] int get() const { return number_; }
    [[nodiscard]] explicit operator bool() const { return number_ >= 0; }
    [[nodiscard]] int release();

  private:
    int number_;
};

inline constexpr std::size_t most_threads = 4096;  // of a process that can be grafted
inline constexpr std::size_t most_relatives = 256;

struct ThreadStatus {  // /proc/PID/task/TID/status
    enum class Read { no, yes } read = Read::no;
    char state = '?';
    std::int32_t tracer = 0;
    std::uint32_t seccomp = 0;
    std::uint32_t no_new_privs = 0;
    std::uint64_t effective = 0;  // capabilities
    std::uint64_t pending = 0;  // signals that wait for the thread or its process, and that it does not block
};
[[nodiscard]] bool is_capable(const ThreadStatus& status);  // of setting a filter without no_new_privs
ThreadStatus read_status(pid_t process, pid_t thread);

// The threads, with their ranks by the calls in which they are; the number of them. A thread that cannot be
// looked at is unfit.
std::size_t read_threads(pid_t process, Thread (&threads)[most_threads]);

// 0 = there is no such process.
std::uint64_t read_start_time(pid_t process);

Abi read_abi(pid_t process);  // of the program it executes

int look_allowed(pid_t process);  // 0, or the errno with which the kernel says that we may not trace it

// Where the vdso is, and behind its last byte where a trampoline has room.
struct Room {
    std::uint64_t address = 0;  // 0 = none
};
Room find_room_in(pid_t process, pid_t thread);  // of a leader that has ended nothing can be seen

// The lowest descriptor of a seccomp listener at or above `from` in the thread's own table; -1 = none, -2 =
// it cannot be seen.
inline constexpr int none_there = -1;
inline constexpr int not_to_be_seen = -2;
int find_listener(pid_t process, pid_t thread, int from = 0);
// Whether a descriptor of that thread is the same open file as one of ours.
enum class Copy { yes, no };
Copy compare(pid_t thread, int number, const Descriptor& own);
// Whether one of our own is one.
enum class Is { listener, something_else };
Is look_at(const Descriptor& own);

// The children of all threads, and theirs, as far as there is room.
std::size_t read_descendants(pid_t process, pid_t (&descendants)[most_relatives]);

// The thread itself where the kernel can (Linux 6.9), else its process if they have one table of descriptors.
Descriptor open_thread(pid_t process, pid_t thread);

}  // namespace gpcsup::exec
