#include "supervisor/sockets.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace gpcsup::supervisor {

namespace {

base::Result<base::Fd> bind_in_place(const std::string& path, int type) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string temporary = path + ".new";
    if (temporary.size() >= sizeof address.sun_path) {
        return base::fail(ENAMETOOLONG, "listen on", path,
                          "a socket's path has at most 107 characters: choose a shorter --runtime");
    }
    std::memcpy(address.sun_path, temporary.c_str(), temporary.size() + 1);
    base::Fd bound(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)unlink(temporary.c_str());
    if (!bound || bind(bound.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        chmod(temporary.c_str(), 0666) != 0 || (type == SOCK_STREAM && listen(bound.get(), SOMAXCONN) != 0) ||
        rename(temporary.c_str(), path.c_str()) != 0) {
        return base::fail(errno, "listen on", path);
    }
    return bound;
}

}  // namespace

base::Result<base::Fd> listen_for_control(const std::string& runtime) {
    return bind_in_place(runtime + "/control", SOCK_STREAM);
}

base::Result<base::Fd> listen_for_notify(const std::string& runtime) {
    auto bound = bind_in_place(runtime + "/notify", SOCK_DGRAM);
    const int on = 1;
    if (bound && setsockopt(bound->get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
        return base::fail(errno, "ask for credentials on", runtime + "/notify");
    }
    return bound;
}

}  // namespace gpcsup::supervisor
