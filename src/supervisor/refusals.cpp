#include "supervisor/refusals.h"

#include <algorithm>
#include <utility>

namespace gpcsup::supervisor {

void Refusals::note(std::string_view event, Json body, std::uint64_t now_ns) {
    const std::uint64_t paid = std::max(paid_until_ns_, now_ns);
    if (paid - now_ns >= at_once * interval_ns) {
        ++left_out_;
        return;
    }
    paid_until_ns_ = paid + interval_ns;
    if (left_out_ > 0) {
        body["left_out"] = std::exchange(left_out_, 0);
    }
    chronicle_.note(event, body);
}

}  // namespace gpcsup::supervisor
