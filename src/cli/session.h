#pragma once
// What a verb works with: its arguments, what it writes to, and the supervisor, connected when it is first
// needed.

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/find.h"
#include "cli/json.h"
#include "cli/look.h"
#include "control/client.h"

namespace gpcsup::cli {

class Session {
  public:
    explicit Session(Arguments arguments);

    [[nodiscard]] const Arguments& arguments() const { return arguments_; }
    [[nodiscard]] const std::vector<std::string>& words() const { return arguments_.words; }
    [[nodiscard]] bool wants_json() const { return arguments_.has(json_flag); }
    [[nodiscard]] bool quiet() const { return arguments_.has("--quiet"); }
    [[nodiscard]] const Look& look() const { return look_; }  // of standard output
    [[nodiscard]] Look error_look() const;                    // of standard error
    [[nodiscard]] Where where() const;

    // The supervisor; ENOTCONN where there is none. The same one at each call.
    base::Result<control::Client*> client();

    // --timeout D, or nothing.
    [[nodiscard]] base::Result<std::optional<base::Duration>> timeout() const;

  private:
    Arguments arguments_;
    Look look_;
    std::unique_ptr<control::Client> client_;
};

// Writes all of TEXT; an output that is gone ends the program as SIGPIPE would.
void print(std::string_view text);
void print_error(std::string_view text);
void print_line(std::string_view text);
// "gpcsup: TEXT" on standard error.
void complain(std::string_view text);

// A reading verb: prints the supervisor's JSON as it is, or RENDER's picture of it.
using Render = std::string (*)(const Json& answer, const Look& look);
base::Result<int> show(Session& session, const base::Result<std::string>& answer, Render render);

}  // namespace gpcsup::cli
