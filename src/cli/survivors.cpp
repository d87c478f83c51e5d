#include "cli/survivors.h"

#include "cli/session.h"
#include "control/errors.h"

namespace gpcsup::cli {

int complain_of_survivors(const Json& answer) {
    const Json& survivors = list_of(answer, "survivors");
    for (const Json& one : survivors) {
        complain("process " + std::to_string(number_of(one, "pid").value_or(0)) + " " +
                 text_of(one, "reason"));
    }
    return survivors.empty() ? 0 : control::exit_failed;
}

}  // namespace gpcsup::cli
