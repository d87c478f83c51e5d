#pragma once
// The seccomp listeners of every filtered service, in one epoll set. A listener is known by its key and stays
// here until the kernel says that nobody uses its filter any more.

#include <linux/seccomp.h>

#include <cstdint>

#include "wire/enforcement_table.h"

namespace gpcsup::enforcement {

inline constexpr std::uint32_t max_listeners = wire::domain_count;

struct Listener {
    std::uint64_t key;  // 0 = free
    int descriptor;
    std::uint32_t domain;  // its row, if that row has this key
    std::uint32_t held;    // notifications received and not answered yet
    bool aside;            // has its share of those: not waited for until one of them is answered
};

class Listeners {
  public:
    explicit Listeners(int epoll) : epoll_(epoll) {}

    // Takes the descriptor; an older one of the same key is closed, what was received from it stays counted.
    // Returns the index, or no_row when there is no room.
    std::uint32_t add(std::uint64_t key, int descriptor);
    void remove(std::uint32_t index);
    void set_aside(std::uint32_t index);  // hears only of its end from now on
    // Whoever holds less than this is waited for again.
    void take_back(std::uint32_t share);
    [[nodiscard]] bool any_aside() const { return aside_ > 0; }
    [[nodiscard]] std::uint32_t find(std::uint64_t key) const;  // no_row = not there
    [[nodiscard]] static Listener& at(std::uint32_t index);
    [[nodiscard]] std::uint32_t count() const { return count_; }
    [[nodiscard]] std::uint32_t end() const { return end_; }  // no listener at or behind this index
    [[nodiscard]] bool sync_wakeup() const { return sync_wakeup_; }

  private:
    int epoll_;
    std::uint32_t count_ = 0;
    std::uint32_t end_ = 0;  // no listener at or behind this index
    std::uint32_t aside_ = 0;
    bool sync_wakeup_ = false;
};

enum class Received { one, nothing };

// Receives into `notification`, which must be zeroed. ENOENT (the caller was interrupted or died) is
// "nothing".
Received receive(int listener, seccomp_notif& notification);

// ENOENT is normal: answered already, or the caller has gone.
void send_continue(int listener, std::uint64_t id);
void send_value(int listener, std::uint64_t id, std::int64_t value);
void send_error(int listener, std::uint64_t id, int error);
[[nodiscard]] bool still_waits(int listener, std::uint64_t id);

}  // namespace gpcsup::enforcement
