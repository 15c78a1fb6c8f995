// Runs a shell line in a machine on a directory of the host, prints what it prints as it comes, and gives the guest a command in Swift:
//
//   swift run -Xlinker -L../../target/release Run ROOTFS 'echo hello | shout'
import Foundation
import TuxletKit

let arguments = CommandLine.arguments
guard arguments.count == 3 else {
    FileHandle.standardError.write(Data("usage: Run ROOTFS LINE\n".utf8))
    exit(125)
}

do {
    var configuration = Configuration(root: .directory(arguments[1]))
    configuration.nativeCommands["/usr/bin/shout"] = { call in
        while case let bytes = try call.read(), !bytes.isEmpty {
            try call.write(String(decoding: bytes, as: UTF8.self).uppercased())
        }
        return 0
    }
    let machine = try await Machine.start(configuration)

    var command = Command.shell(arguments[2])
    command.errorOutput = .output
    let process = try await machine.exec(command)
    for try await bytes in process.output {
        FileHandle.standardOutput.write(Data(bytes))
    }
    exit(try await process.wait().code)
} catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(125)
}
