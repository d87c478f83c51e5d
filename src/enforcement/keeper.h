#pragma once
// The socket to gpc-init (wire/keep.h): what this program is given, and what it tells. Bounded: nothing here
// ever waits.

#include <cstdint>

#include "wire/keep.h"

namespace gpcsup::enforcement {

struct KeeperMessage {
    wire::KeepMessage message;
    int descriptor = -1;  // with `deliver`; the receiver's from here
};

enum class Heard { message, nothing, end };

class Keeper {
  public:
    explicit Keeper(int descriptor) : descriptor_(descriptor) {}
    [[nodiscard]] int descriptor() const { return descriptor_; }

    Heard receive(KeeperMessage& received) const;
    void tell(wire::KeepVerb verb, std::uint64_t argument = 0) const;
    // Asks gpc-init to forget a listener. Kept and said again by repeat() when the socket is full.
    void drop_listener(std::uint64_t key);
    void repeat();
    [[nodiscard]] bool owes() const { return owed_ != 0; }

  private:
    [[nodiscard]] bool send(const wire::KeepMessage& message) const;
    int descriptor_;
    std::uint32_t owed_ = 0;
};

}  // namespace gpcsup::enforcement
