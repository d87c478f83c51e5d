#include "control/admission.h"

#include <algorithm>

namespace gpcsup::control {

Admission admit(std::span<const uid_t> held, uid_t peer, uid_t own) {
    const auto is_privileged = [own](uid_t user) { return user == 0 || user == own; };
    bool room = held.size() < max_connections;
    if (!is_privileged(peer)) {
        const auto strangers = std::ranges::count_if(held, [&](uid_t user) { return !is_privileged(user); });
        const auto of_peer = std::ranges::count(held, peer);
        room = room && static_cast<std::size_t>(of_peer) < max_of_one_user &&
               static_cast<std::size_t>(strangers) < max_connections - kept_for_privileged;
    }
    return room ? Admission::granted : Admission::refused;
}

}  // namespace gpcsup::control
