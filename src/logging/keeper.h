#pragma once
// gpc-logd's end of the channel to gpc-init.

#include <optional>

#include "base/fd.h"
#include "wire/keep.h"

namespace gpcsup::logging {

enum class Heard { message, nothing, closed };

struct KeeperLetter {
    Heard heard = Heard::nothing;
    wire::KeepMessage message;
    base::Fd descriptor;
    bool truncated = false;  // a descriptor came that this process had no room for
};

class Keeper {
  public:
    explicit Keeper(base::Fd socket) : socket_(std::move(socket)) {}
    [[nodiscard]] int descriptor() const { return socket_.get(); }
    // Never waits.
    KeeperLetter receive();
    void send(wire::KeepVerb verb, wire::KeepKey key = {});

  private:
    base::Fd socket_;
};

// The socket named by the environment, made close-on-exec; nothing if there is none.
std::optional<Keeper> inherit_keeper();

}  // namespace gpcsup::logging
